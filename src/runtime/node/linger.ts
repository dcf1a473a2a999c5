import type net from "node:net";
import { internals } from "./internals.ts";
import { LINGER } from "../../server/last_response.ts";

/** What is asked of a request whose body may be unread. */
interface Upload {
  readonly complete: boolean;
  resume(): unknown;
  once(event: "end", listener: () => void): unknown;
}

/**
 * Closing a socket on which bytes are yet to be read resets it, and the reset takes with it what
 * the client has not read of the answer. So an upload that was answered unread may go on for a
 * while: Go's `closeWriteAndWait`. `discardRest` reads on what came behind the request, and returns
 * whether something did.
 */
export function lingerOver(
  socket: net.Socket,
  req: Upload,
  discardRest: () => boolean,
): void {
  const destroySoon = internals.destroySoonOf(socket);
  // On Deno the sockets of DENO_SERVE_ADDRESS have none: Deno closes them behind their response.
  if (destroySoon === undefined) return;
  // What node calls when the last response of a connection has been written.
  socket.destroySoon = () => {
    const isFollowed = discardRest();
    if (req.complete && !isFollowed) return destroySoon();
    socket.end();
    req.resume();
    const timer = setTimeout(() => socket.destroy(), LINGER);
    socket.once("close", () => clearTimeout(timer));
    if (isFollowed) socket.once("end", destroySoon);
    else req.once("end", destroySoon);
  };
}
