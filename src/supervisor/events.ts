import { reportError } from "../core/report_error.ts";
import type { Addr } from "../core/addr.ts";

/** A worker in an event: its number, the number of its generation, and its process id if it was started. */
export interface WorkerName {
  /** The number of the worker, which no other worker of the supervisor has. */
  readonly worker: number;
  /** The number of its generation. */
  readonly generation: number;
  /** The process id; undefined if no process could be started. */
  readonly pid: number | undefined;
}

/**
 * An event of a supervisor, as `supervise` passes it to `log`.
 *
 * - `"occupied"`: another process listens at the address. The supervisor waits for at most 2 s, because the
 *   workers of a supervisor that was killed are about to close their listeners.
 * - `"listening"`: the listeners are open, and the first generation starts.
 * - `"started"`: a worker was started.
 * - `"ready"`: a worker is ready: it has said so (`hasSaid`), or has been running for long enough.
 * - `"late"`: a worker has not become ready within `readyTimeout`, and is being killed.
 * - `"serving"`: all workers of a generation are ready, and the generation has taken over.
 * - `"reloading"`: a new generation starts.
 * - `"queued"`: a new generation was requested while another one starts. It starts after that one.
 * - `"failed"`: a new generation has failed for the reason `why`, and the current generation keeps
 *   serving.
 * - `"ended"`: a worker has ended, because it was told to (`isExpected`) or by itself.
 * - `"restarting"`: a worker has ended by itself and will be replaced in `pause` ms.
 * - `"looping"`: a worker has ended early too often, and the supervisor ends.
 * - `"resized"`: the number of workers was changed to `workers`.
 * - `"stopping"`: the end has begun, and the workers are told to end.
 * - `"forcing"`: another signal is passed on to the workers. At the third signal, they get SIGKILL.
 * - `"stopped"`: all workers have ended.
 * - `"error"`: a step has failed, and the supervisor goes on. `what` names the step.
 *
 * @example
 * ```ts
 * import { supervise, type SupervisorEvent } from "@x/graceful/supervisor";
 *
 * function log(event: SupervisorEvent): void {
 *   if (event.type === "failed") console.error(JSON.stringify(event));
 * }
 *
 * const supervisor = await supervise({ command: ["sleep", "60"], log });
 * await supervisor.stop();
 * ```
 */
export type SupervisorEvent =
  | { readonly type: "occupied"; readonly addr: Addr }
  | {
    readonly type: "listening";
    readonly listeners: readonly Addr[];
    /** The address at which the supervisor answers for the health of the service. */
    readonly health: Addr | undefined;
  }
  | { readonly type: "started" } & WorkerName
  | { readonly type: "ready"; readonly hasSaid: boolean; readonly duration: number } & WorkerName
  | { readonly type: "late"; readonly readyTimeout: number } & WorkerName
  | { readonly type: "serving"; readonly generation: number; readonly workers: number }
  | { readonly type: "reloading"; readonly generation: number }
  | { readonly type: "queued"; readonly generation: number }
  | {
    readonly type: "failed";
    readonly generation: number;
    readonly why: string;
    /** The number of the generation that keeps serving. */
    readonly serving: number;
  }
  | {
    readonly type: "ended";
    readonly code: number | null;
    readonly signal: string | null;
    readonly isExpected: boolean;
    /** Why the process could not be started. */
    readonly error?: unknown;
  } & WorkerName
  | { readonly type: "restarting"; readonly pause: number } & WorkerName
  | { readonly type: "looping"; readonly exitCode: number } & WorkerName
  | { readonly type: "resized"; readonly workers: number }
  | { readonly type: "stopping"; readonly cause: string; readonly signal: string }
  | { readonly type: "forcing"; readonly signal: string }
  | { readonly type: "stopped"; readonly exitCode: number }
  | { readonly type: "error"; readonly what: string; readonly error: unknown };

/** Passes an event to a log. The log is not waited for, and an error of the log is only reported. */
export function emitTo(
  log: (event: SupervisorEvent) => unknown,
  event: SupervisorEvent,
): void {
  (async () => await log(event))().catch(reportError);
}
