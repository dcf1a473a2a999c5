/** The times at which connections and requests arrive, kept by the sockets themselves. */
import type net from "node:net";

/** The keys of the properties with which a socket keeps the times. */
const ACCEPTED: unique symbol = Symbol("graceful accepted");
const REQUESTED: unique symbol = Symbol("graceful requested");

/**
 * A socket with the times. They are on the clock of `performance.now()`, in whole milliseconds: a fractional
 * number would need a heap object.
 */
type Timed = net.Socket & { [ACCEPTED]?: number; [REQUESTED]?: number };

/** Records that a socket has been accepted now. */
export function noteAccepted(socket: Timed): void {
  socket[ACCEPTED] = Math.trunc(performance.now());
}

/** Records that a request has arrived on a socket now. */
export function noteRequest(socket: Timed): void {
  socket[REQUESTED] = Math.trunc(performance.now());
}

/** Returns the time at which a socket was accepted, or undefined if that was not recorded. */
export function acceptedAt(socket: Timed): number | undefined {
  return socket[ACCEPTED];
}

/** Returns the time at which the newest request of a socket arrived, or undefined if that was not recorded. */
export function requestedAt(socket: Timed): number | undefined {
  return socket[REQUESTED];
}
