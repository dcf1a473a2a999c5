import type { ShutdownReport } from "../core/report.ts";

/** The report of `graceful`: how the servers of the process ended. */
export interface GracefulReport {
  /**
   * The cause of the end: the name of a signal, `"aborted"` (the `signal` option), `"upgraded"` (a successor has taken
   * over), `"finished"` (a server has finished by itself), `"message"` (a message of the parent), `"disconnected"` (a
   * worker of `node:cluster` has lost its primary, or a worker of `graceful run` its supervisor),
   * `"uncaughtException"` or `"unhandledRejection"`.
   */
  readonly cause: string;
  /** The report of each server, in the order in which the servers were given. */
  readonly servers: readonly ShutdownReport[];
  /** Whether connections were closed by force at the deadline. */
  readonly forced: boolean;
  /**
   * The errors of closing a listener, of hooks and of cleanup functions; a `TimeoutError` for each function that was
   * not done in time; with `exceptions: "drain"`, the uncaught exceptions and unhandled rejections. The array does
   * not change.
   */
  readonly errors: readonly unknown[];
  /**
   * The exit code: 0, or 1 if connections were closed by force or there are errors. `process.exitCode` is set to it,
   * unless `process.exitCode` already says that something has failed.
   */
  readonly exitCode: number;
}
