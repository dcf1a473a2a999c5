/** What the options of the commands may be. */
import { type Runtime, RUNTIMES } from "../../support/runtimes.ts";

/** Refuses what is no runtime. */
export function asRuntime(name: string): Runtime {
  const runtime = RUNTIMES.find((runtime) => runtime === name);
  if (runtime !== undefined) return runtime;
  throw new RangeError(
    `Cannot restart as '--runtime' must be one of ${RUNTIMES.join(", ")}: it is ${name}`,
  );
}

/** Refuses what is no integer from the least on. */
export function asCount(option: string, value: string, least: number): number {
  const count = Number(value);
  if (Number.isInteger(count) && count >= least && value.trim() !== "") {
    return count;
  }
  throw new RangeError(
    `Cannot restart as '${option}' must be ${least} or more: it is ${value}`,
  );
}
