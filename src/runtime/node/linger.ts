import type net from "node:net";
import { LINGER } from "../../server/linger.ts";
import { type DiscardableRequest, internals } from "./internals.ts";

/** A request whose body may be unread. */
interface Upload extends DiscardableRequest {
  once(event: "end", listener: () => void): unknown;
}

/**
 * Ends the server's side of a connection, and destroys the socket if the client has not ended its side
 * after LINGER milliseconds.
 *
 * Closing a socket with unread bytes resets the connection. The reset would discard the part of the
 * response that the client has not read yet.
 */
export function endAndLinger(socket: net.Socket): void {
  socket.end();
  const timer = setTimeout(() => socket.destroy(), LINGER);
  socket.once("close", () => clearTimeout(timer));
}

/**
 * Lets a client continue its upload for a while after the last response of its connection, if the response
 * was sent before the upload was read. Go's `closeWriteAndWait` does the same. `discardRest` must read and
 * discard the bytes that arrived after the request, and return whether there were any.
 */
export function lingerOver(
  socket: net.Socket,
  res: { readonly req: Upload; once(event: "close", listener: () => void): unknown },
  discardRest: () => boolean,
): void {
  const { req } = res;
  const destroySoon = internals.destroySoonOf(socket);
  if (destroySoon === undefined) {
    // On sockets of DENO_SERVE_ADDRESS, Deno itself ends its side and waits for the client to end the
    // other.
    res.once("close", () => endAndLinger(socket));
    return;
  }
  // Node calls `destroySoon` when the last response of a connection has been written.
  socket.destroySoon = () => {
    const isFollowed = discardRest();
    if (req.complete && !isFollowed) return destroySoon();
    endAndLinger(socket);
    internals.discardBody(req, socket);
    if (isFollowed) socket.once("end", destroySoon);
    else req.once("end", destroySoon);
  };
}
