import { ShutdownIncompleteError } from "../../../src/core/errors.ts";
import type { ShutdownReport } from "../../../src/core/report.ts";

/** How a call of `shutdown` or `close` has ended, and what was so at that moment. */
export interface Settlement<Facts> {
  readonly at: number;
  /** In one word: a reason of a report, `"done"` for `close()`, or `"failed"` with another error. */
  readonly outcome: ShutdownReport["reason"] | "done" | "failed";
  readonly report: ShutdownReport | undefined;
  readonly error: unknown;
  readonly facts: Facts;
  /** What the report said when it was handed out. */
  readonly copy: string;
}

/** A call of `shutdown` or `close`. */
export class Call<Facts> {
  readonly name: string;
  readonly startedAt: number;
  /** Undefined while the call waits. */
  settlement: Settlement<Facts> | undefined;

  /** `facts` says what is so when the call settles. */
  constructor(
    name: string,
    promise: Promise<ShutdownReport | void>,
    now: () => number,
    facts: () => Facts,
  ) {
    this.name = name;
    this.startedAt = now();
    const settle = (
      outcome: Settlement<Facts>["outcome"],
      report: ShutdownReport | undefined,
      error: unknown,
    ) => {
      const copy = JSON.stringify(report);
      this.settlement = { at: now(), outcome, report, error, facts: facts(), copy };
    };
    promise.then(
      (report) =>
        report ? settle(report.reason, report, undefined) : settle("done", undefined, undefined),
      (error) =>
        error instanceof ShutdownIncompleteError
          ? settle(error.report.reason, error.report, error)
          : settle("failed", undefined, error),
    );
  }
}
