import type { Worker } from "./worker.ts";

/** The status of a supervisor and its workers at one moment. */
export interface SupervisorStatus {
  /** The process id of the supervisor. */
  readonly pid: number;
  /**
   * `"starting"` until all workers of the first generation are ready, `"reloading"` while a new generation starts,
   * `"stopping"` and `"stopped"` at the end, and otherwise `"serving"`.
   */
  readonly state: "starting" | "serving" | "reloading" | "stopping" | "stopped";
  /** Whether all workers of the generation that serves are ready. */
  readonly ready: boolean;
  /** The time at which the supervisor was started, in ISO 8601. */
  readonly since: string;
  /** The number of the generation that serves. */
  readonly generation: number;
  /** The number of workers that were replaced because they had ended by themselves. */
  readonly restarts: number;
  /** The addresses of the listeners, each `host:port` or the path of a unix socket. */
  readonly listeners: readonly string[];
  /** The workers that have not ended, including workers of generations that drain or start. */
  readonly workers: readonly WorkerStatus[];
}

/** The status of a worker at one moment. */
export interface WorkerStatus {
  /** The number of the worker, which no other worker of the supervisor has. */
  readonly worker: number;
  /** The number of its generation. */
  readonly generation: number;
  /** The process id of the worker. */
  readonly pid: number;
  /** The state of the worker. `"ending"` means that the worker was told to end. */
  readonly state: "starting" | "ready" | "ending";
  /** The time at which the worker was started, in ISO 8601. */
  readonly since: string;
}

/** Returns the status of a worker. */
export function statusOf(worker: Worker): WorkerStatus {
  return {
    worker: worker.number,
    generation: worker.generation,
    // A worker that could not be started has ended, and is not in the status.
    pid: worker.pid ?? 0,
    state: worker.isEnding ? "ending" : worker.isReady ? "ready" : "starting",
    since: new Date(worker.started).toISOString(),
  };
}
