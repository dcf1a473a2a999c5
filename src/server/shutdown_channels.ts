import type { Addr } from "../core/addr.ts";
import type { ConnInfo } from "../core/conn.ts";
import type { ShutdownReport } from "../core/report.ts";

/**
 * The channels of `node:diagnostics_channel` on which each call of `server.shutdown()` is published, with the
 * types of their messages.
 */
export interface ShutdownChannels {
  /** A call of `shutdown` begins. */
  "graceful.shutdown.start": {
    /** The address of the server. The path of a unix socket is empty if an adopted server has no address yet. */
    readonly addr: Addr;
    /** The connections that are open before the call closes any of them. */
    readonly connections: readonly ConnInfo[];
  };
  /** A call of `shutdown` is done: the server has drained, or the context of the call was done first. */
  "graceful.shutdown.end": {
    /** The address of the server, as at the start. */
    readonly addr: Addr;
    /** The number of milliseconds from the start of the call to its end. */
    readonly duration: number;
    /** The report of the call. Undefined only if the call has failed for another reason than its deadline. */
    readonly report: ShutdownReport | undefined;
    /**
     * The error that the call rejects with: a `ShutdownIncompleteError`, or the error of closing a listener.
     * Undefined if the call resolves.
     */
    readonly error: unknown;
  };
}

/** Publishes the calls of `shutdown`. */
export interface ShutdownPublisher {
  /** Publishes a message on a channel. `make` is called only if somebody subscribes to the channel. */
  publish<Name extends keyof ShutdownChannels>(
    name: Name,
    make: () => ShutdownChannels[Name],
  ): void;
}
