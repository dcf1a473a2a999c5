import { reportError } from "../core/report_error.ts";
import type { ChannelName } from "../core/channel_names.ts";
import type { ConnInfo } from "../core/conn.ts";
import { channels } from "../runtime/channels.ts";
import type { GracefulReport } from "./report.ts";

/**
 * An event at the end of a process, as `graceful` passes it to `log` and publishes it on the channels of
 * {@linkcode GracefulChannels}: for a log of your own, for metrics, or for the spans of a trace. `elapsed` is in
 * ms since the end was decided.
 *
 * - `"ending"`: the end is decided, and readiness fails. For `drainDelay` ms the servers keep serving in
 *   the lame-duck phase; 0 means that there is no such phase.
 * - `"draining"`: the servers shut down, within `timeout` ms.
 * - `"waiting"`: the servers still shut down, and `left` ms are left. Emitted once a second.
 * - `"forced"`: the deadline has passed, and these connections are closed by force.
 * - `"drained"`: the servers are closed, by force or not.
 * - `"failed"`: a step has failed, and the end goes on. `what` names the step: a hook or a cleanup function,
 *   the closing of a listener, the notification of systemd, or an upgrade; with `exceptions: "drain"`,
 *   `"uncaughtException"` or `"unhandledRejection"`.
 * - `"ignored"`: the signal of `upgradeOn` has arrived while no upgrade can start. `why` is the reason, for
 *   example that an upgrade is under way.
 * - `"upgrade-waiting"`: the signal of `upgradeOn` has arrived, and the upgrade starts when the predecessor of
 *   this process has drained. Further signals until then have no effect of their own.
 * - `"upgrade-started"`: the successor is being started, with this command and in this folder. The folder is undefined
 *   if it is unknown: the successor then starts in the working directory.
 * - `"upgrade-ready"`: the successor serves, `duration` ms after it was started, and the end of this process begins. An
 *   upgrade that was given up is reported as `"failed"`.
 * - `"ended"`: everything is done, including the cleanup.
 * - `"other-listeners"`: other code listens to the signals as well, and may end the process before the drain is done.
 *   `name` is the name of the function, or the beginning of its source text if it has no name. Each listener is
 *   reported once.
 * - `"interrupted"`: a signal has arrived during the end. The process ends right after this event.
 * - `"kept-alive"`: something still keeps the process alive. The process is ended right after this event. `by`
 *   lists the reasons that the runtime reports, and is empty if the runtime reports none.
 *
 * @example
 * ```ts
 * import { graceful, type GracefulEvent, serve } from "@x/graceful";
 *
 * function log(event: GracefulEvent): void {
 *   if (event.type === "forced") console.error(JSON.stringify(event.connections));
 * }
 *
 * const server = await serve(() => new Response("hello"), { port: 9527 });
 * await graceful(server, { log });
 * ```
 */
export type GracefulEvent =
  & { readonly elapsed: number }
  & (
    | { readonly type: "ending"; readonly cause: string; readonly drainDelay: number }
    | {
      readonly type: "draining";
      readonly cause: string;
      readonly timeout: number;
      readonly connections: readonly ConnInfo[];
    }
    | {
      readonly type: "waiting";
      readonly left: number;
      readonly connections: readonly ConnInfo[];
    }
    | { readonly type: "forced"; readonly connections: readonly ConnInfo[] }
    | { readonly type: "drained"; readonly forced: boolean }
    | { readonly type: "failed"; readonly what: string; readonly error: unknown }
    | { readonly type: "ignored"; readonly signal: string; readonly why: string }
    | {
      readonly type: "upgrade-waiting";
      readonly signal: string;
      readonly predecessor: number;
    }
    | {
      readonly type: "upgrade-started";
      readonly command: readonly string[];
      readonly folder: string | undefined;
    }
    | { readonly type: "upgrade-ready"; readonly successor: number; readonly duration: number }
    | { readonly type: "ended"; readonly report: GracefulReport }
    | {
      readonly type: "other-listeners";
      readonly listeners: readonly { readonly signal: string; readonly name: string }[];
    }
    | {
      readonly type: "interrupted";
      readonly signal: string;
      readonly exitCode: number;
      readonly connections: readonly ConnInfo[];
    }
    | {
      readonly type: "kept-alive";
      readonly by: readonly string[];
      readonly exitCode: number;
    }
  );

/** A {@linkcode GracefulEvent} without its time. */
type EventBody = GracefulEvent extends infer Event
  ? Event extends GracefulEvent ? Omit<Event, "elapsed"> : never
  : never;

/** A function that gets each event. */
export type EventLog = (event: GracefulEvent) => unknown;

/** Passes events to a log and to the channels of `node:diagnostics_channel`, with the time at which they happen. */
export class EventSink {
  readonly #log: EventLog | undefined;
  readonly #channels = channels();
  #start: number | undefined;

  constructor(log: EventLog | undefined) {
    this.#log = log;
  }

  /** Starts the clock of `elapsed`. Must be called when the end is decided. */
  start(): void {
    this.#start = performance.now();
  }

  /** Reports whether an event of this type reaches anybody, for callers whose events are costly to make. */
  isHeard(type: GracefulEvent["type"]): boolean {
    return this.#log !== undefined || this.#channels.hasSubscribers(channelOf(type));
  }

  /**
   * Passes an event to the log and to the subscribers. The log is not waited for. Errors of the log and of
   * subscribers are only reported.
   */
  emit(body: EventBody): void {
    if (!this.isHeard(body.type)) return;
    const now = performance.now();
    // The cast: a body with its time is an event, but TypeScript does not distribute the spread over the union.
    const event = { ...body, elapsed: now - (this.#start ?? now) } as GracefulEvent;
    (async () => await this.#log?.(event))().catch(reportError);
    this.#channels.publish(channelOf(event.type), () => event);
  }

  /** Emits the event `"failed"`. */
  failed(what: string, error: unknown): void {
    this.emit({ type: "failed", what, error });
  }
}

/** Returns the name of the channel for the events of a type. */
function channelOf(type: GracefulEvent["type"]): ChannelName {
  return `graceful.${type}`;
}
