import type { SupervisorStatus } from "./status.ts";

/** The report of a supervisor that has ended. */
export interface SupervisorReport {
  /**
   * The cause of the end: the name of a signal, `"aborted"` (the `signal` option), `"stopped"` (`stop` was
   * called) or `"crash loop"`.
   */
  readonly cause: string;
  /**
   * The highest exit code of the workers that were ready when they were told to end; in a crash loop, the exit code of
   * the worker that has crashed. For a worker that was ended by a signal, the exit code is 128 plus the number of the
   * signal.
   */
  readonly exitCode: number;
}

/** A supervisor that runs a service. */
export interface Supervisor extends AsyncDisposable {
  /** A promise that resolves when the service has ended, whatever the cause. The promise never rejects. */
  readonly finished: Promise<SupervisorReport>;
  /** Returns the current status of the supervisor and its workers. */
  status(): SupervisorStatus;
  /**
   * Starts a new generation, as SIGHUP does. Resolves with true when the new generation serves, and with false if it
   * has failed or if the end of the service has begun. While another generation starts, the new generation waits until
   * that one has started.
   */
  reload(): Promise<boolean>;
  /**
   * Changes the number of workers, 1 to 1024.
   *
   * @throws {RangeError} If the number is out of range.
   */
  resize(workers: number): void;
  /** Tells all workers to end, and resolves when all of them have ended. */
  stop(): Promise<SupervisorReport>;
}
