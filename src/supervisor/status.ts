import type { Worker } from "./worker.ts";

/** What a supervisor runs at one moment. */
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
  /** When the supervisor was started, in ISO 8601. */
  readonly since: string;
  /** The number of the generation that serves. */
  readonly generation: number;
  /** How often a worker has taken the place of one that had ended by itself. */
  readonly restarts: number;
  /** The addresses of the listeners, each `host:port` or the path of a unix socket. */
  readonly listeners: readonly string[];
  /** The workers that have not ended, those of generations that drain or start among them. */
  readonly workers: readonly WorkerStatus[];
}

/** What a worker does at one moment. */
export interface WorkerStatus {
  /** The number of the worker, which no other worker of the supervisor has. */
  readonly worker: number;
  /** The number of its generation. */
  readonly generation: number;
  /** The process id. */
  readonly pid: number;
  /** `"ending"` once the worker was told to end. */
  readonly state: "starting" | "ready" | "ending";
  /** When the worker was started, in ISO 8601. */
  readonly since: string;
}

/** Returns what a worker does. */
export function statusOf(worker: Worker): WorkerStatus {
  return {
    worker: worker.number,
    generation: worker.generation,
    // A worker that could not be started has ended.
    pid: worker.pid ?? 0,
    state: worker.isEnding ? "ending" : worker.isReady ? "ready" : "starting",
    since: new Date(worker.started).toISOString(),
  };
}
