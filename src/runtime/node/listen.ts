/** How a server of Node's modules comes to listen. */
import type net from "node:net";
import process from "node:process";
import type { Addr } from "../../core/addr.ts";
import type { ServeSettings } from "../../options/serve.ts";
import { unnamedServeAddress } from "../host/serve_address.ts";
import { listenError } from "../../core/listen_error.ts";
import { type Handle, takeHandle } from "./sockets.ts";

/** Has a server of node's listen where the settings say. */
export async function listen(
  listener: net.Server,
  { listen, backlog, reusePort }: Pick<ServeSettings, "listen" | "backlog" | "reusePort">,
): Promise<void> {
  try {
    await listening(
      listener,
      listen.transport === "unix"
        ? { path: listen.path, backlog }
        : { host: listen.hostname, port: listen.port, backlog, reusePort },
    );
  } catch (error) {
    throw listenError(listen, error);
  }
}

/** Resolves when the server listens, rejects if it cannot. */
export function listening(
  listener: net.Server,
  where: net.ListenOptions & { fd?: number },
  backlog?: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once("error", reject);
    listener.once("listening", () => {
      listener.off("error", reject);
      resolve();
    });
    const handle = where.fd === undefined ? undefined : takeHandle(where.fd);
    if (handle !== undefined && listenWith(listener, handle, backlog)) return;
    // The cast: the types leave `fd` out.
    listener.listen(where as net.ListenOptions & number, backlog as number);
  });
}

/** What a server of node's has, beside what is in its types. */
interface Internals {
  _handle: Handle | null;
  /** Has it listen with the handle that it has, if it has one; an alias kept for old programs. */
  _listen2?(address: null, port: -1, type: -1, backlog: number | undefined): void;
}

/**
 * Has a server listen with a handle. Its `listen` takes those of TCP, and makes another one of the number
 * of a unix socket's. False where node does not have the function behind it, which is `setupListenHandle`
 * of https://github.com/nodejs/node/blob/main/lib/net.js.
 */
function listenWith(listener: net.Server, handle: Handle, backlog: number | undefined): boolean {
  // The cast: node's own `listen` ends there, whatever it is given.
  const internals = listener as unknown as Internals;
  if (internals._listen2 === undefined) return false;
  internals._handle = handle;
  internals._listen2(null, -1, -1, backlog);
  return true;
}

/** Where it listens. */
export function localAddr(listener: net.Server): Addr {
  const address = listener.address();
  if (address === null) {
    if (listener.listening && "deno" in process.versions) return unnamedServeAddress();
    throw new Error("Cannot tell where the server listens: it has not listened yet");
  }
  return typeof address === "string"
    ? { transport: "unix", path: address }
    : { transport: "tcp", hostname: address.address, port: address.port };
}
