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
 * - `"occupied"`: another process listens at the address. For a moment the supervisor waits for it: workers of a
 *   supervisor that was killed are about to close their listeners.
 * - `"listening"`: the listeners are open, and the first generation starts.
 * - `"started"`: a worker was started.
 * - `"ready"`: a worker is ready, because it `hasSaid` so, or because it has been running for long enough.
 * - `"late"`: a worker has not become ready within `readyTimeout`, and is being killed.
 * - `"serving"`: all workers of a generation are ready, and the generation has taken over.
 * - `"reloading"`: a new generation starts.
 * - `"queued"`: a new generation was asked for while one starts. Another one follows it.
 * - `"failed"`: a new generation has failed, for the reason `why`, and the generation before serves on.
 * - `"ended"`: a worker has ended: as it was told (`isExpected`), or by itself.
 * - `"restarting"`: a worker takes the place of one that has ended, in `pause` ms.
 * - `"looping"`: a worker has ended early too often, and the supervisor ends.
 * - `"resized"`: there are to be `workers` workers from now on.
 * - `"stopping"`: the end has begun, and the workers are told to end.
 * - `"forcing"`: a further signal is passed on to the workers; SIGKILL is sent at the third.
 * - `"stopped"`: all workers have ended.
 * - `"error"`: something has failed, which stops nothing. `what` names it.
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
    /** The number of the generation that serves on. */
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

/** Passes an event to a log, which is not waited for. A failure of the log is only reported. */
export function emitTo(
  log: (event: SupervisorEvent) => unknown,
  event: SupervisorEvent,
): void {
  (async () => await log(event))().catch(reportError);
}
