/** All that one run of the bench has measured. */
import type { DrainResult } from "./drain.ts";
import type { ImportResult } from "./import_time.ts";
import type { BusyResult, ScaleResult } from "./scale.ts";
import type { SizeResult } from "./size.ts";
import type { SteadyResult } from "./steady.ts";

/** The results, as they are written to the file of `--json`. */
export interface Results {
  /** When the run began, in ISO 8601. */
  readonly date: string;
  /** The processor, and the number of its cores. */
  readonly machine: string;
  readonly versions: readonly string[];
  readonly rounds: number;
  readonly steady: SteadyResult[];
  readonly drain: DrainResult[];
  readonly scale: ScaleResult[];
  readonly busy: BusyResult[];
  readonly imports: ImportResult[];
  readonly sizes: SizeResult[];
}
