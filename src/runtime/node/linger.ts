import type net from "node:net";
import { LINGER } from "../../server/linger.ts";
import { type DiscardableRequest, internals } from "./internals.ts";

/** A request whose body may be unread. */
interface Upload extends DiscardableRequest {
  once(event: "end", listener: () => void): unknown;
}

/**
 * Ends the server's side of a connection, and destroys the socket when the client has had its time to end
 * the other side.
 *
 * Closing a socket on which bytes are yet to be read resets the connection, and the reset takes with it
 * what the client has not read of its answer.
 */
export function endAndLinger(socket: net.Socket): void {
  socket.end();
  const timer = setTimeout(() => socket.destroy(), LINGER);
  socket.once("close", () => clearTimeout(timer));
}

/**
 * Lets the client of an upload that was answered unread go on sending for a while behind the last response
 * of its connection, as Go's `closeWriteAndWait` does. `discardRest` has what came behind the request be
 * read and dropped, and returns whether something did.
 */
export function lingerOver(
  socket: net.Socket,
  res: { readonly req: Upload; once(event: "close", listener: () => void): unknown },
  discardRest: () => boolean,
): void {
  const { req } = res;
  const destroySoon = internals.destroySoonOf(socket);
  if (destroySoon === undefined) {
    // Deno itself ends its side of the sockets of DENO_SERVE_ADDRESS, and waits for the client's.
    res.once("close", () => endAndLinger(socket));
    return;
  }
  // Node calls it when the last response of a connection has been written.
  socket.destroySoon = () => {
    const isFollowed = discardRest();
    if (req.complete && !isFollowed) return destroySoon();
    endAndLinger(socket);
    internals.discardBody(req, socket);
    if (isFollowed) socket.once("end", destroySoon);
    else req.once("end", destroySoon);
  };
}
