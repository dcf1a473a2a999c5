import type { ShutdownReport } from "../core/report.ts";

/** The report of `graceful`: what became of the servers of the process. */
export interface GracefulReport {
  /**
   * What started it: a signal's name, `"aborted"`, `"upgraded"` by a successor that has taken over,
   * `"finished"` by a server of its own accord, `"message"` of the parent, `"disconnected"` in a worker of
   * `node:cluster` that has lost its primary, `"uncaughtException"` or `"unhandledRejection"`.
   */
  readonly cause: string;
  /** The report of each server, in the order in which the servers were given. */
  readonly servers: readonly ShutdownReport[];
  /** Whether connections were cut off at the deadline. */
  readonly forced: boolean;
  /**
   * What closing a listener, a hook or a cleanup function has thrown; a `TimeoutError` for one that was
   * not done in its time; exceptions that nobody has caught, with `exceptions: "drain"`. It does not
   * change any more.
   */
  readonly errors: readonly unknown[];
  /**
   * 0, or 1 if it was forced or there are errors: what `process.exitCode` is set to, unless that says
   * already that something has failed.
   */
  readonly exitCode: number;
}
