import type { Addr } from "../core/addr.ts";
import type { OpenOptions } from "../core/sockets.ts";
import {
  checkListen,
  checkSparePath,
  listenAddress,
  type Listener,
  type ListenOptions,
} from "../options/listen.ts";
import type { ServerOptions } from "../options/server.ts";
import { untilReleased } from "../runtime/linux/held_ports.ts";
import { sockets } from "../runtime/sockets.ts";
import type { Handoff, InheritedSocket } from "./handover.ts";
import { claim } from "./inheritance.ts";
import { SharedListener } from "./shared_listener.ts";
import { checkNodeVersion } from "../runtime/host/node_version.ts";

/**
 * Opens a listening socket, or takes over the socket that this process has inherited for the same address, from its
 * predecessor or from systemd. Pass the listener to `serve` as its option `listener`, or its `fd` to the `listen` of a
 * server of Node's modules.
 *
 * On Node, connections are refused until a server uses the listener, and only that server reports an address that is
 * in use. On Deno and Bun, connections wait in the accept queue. Deno asks for `--allow-net`, `--allow-env` and
 * `--allow-ffi`.
 *
 * @throws {TypeError} If an option has the wrong type or contradicts another option, or `fd` is not a listening socket.
 * @throws {RangeError} If an option is out of range.
 * @throws {UpgradeError} On Deno without `--allow-ffi`; on Deno and Bun on a system other than Linux.
 * @throws {Error} If the socket cannot listen, with the system's `code` (`EADDRINUSE` …).
 *
 * @example
 * ```ts
 * import { listen, serve } from "@x/graceful";
 *
 * const listener = await listen({ port: 0, hostname: "127.0.0.1", backlog: 128 });
 * const server = await serve(() => new Response("hello"), { listener });
 * await server.close();
 * ```
 */
export async function listen(options: ListenOptions = {}): Promise<Listener> {
  checkNodeVersion();
  checkListen(options);
  const { fd, backlog, reusePort = false } = options;
  if (fd !== undefined) return new SharedListener(inheritedSocketOf(fd), true);
  const asked = listenAddress(options);
  const socket = claim(asked, options.socketName);
  if (socket !== undefined) return new SharedListener(socket, true);
  await untilReleased(options.port);
  const listener = await openListener(asked, { backlog, reusePort });
  listener.backlog = backlog;
  return listener;
}

/**
 * Returns the listener for a server to accept on: the listener that was given, the inherited listener for its address,
 * or with `handoff` a new listener. Returns undefined if the server is to open its own listener.
 */
export async function listenerFor(
  { listener, handoff, backlog, reusePort = false, socketName, ...where }: ServerOptions,
): Promise<SharedListener | undefined> {
  if (listener !== undefined) return freeListener(listener);
  const asked = listenAddress(where);
  const options = { backlog, reusePort };
  const socket = claim(asked, socketName);
  if (socket === undefined && handoff === undefined) return undefined;
  if (handoff !== "reuseport") {
    if (socket !== undefined) {
      return new SharedListener({ ...socket, handoff: "inherit" }, true);
    }
    return await openListener(asked, options);
  }
  return await sharingListener(asked, socket, options);
}

function freeListener(listener: unknown): SharedListener {
  if (listener instanceof SharedListener && listener.isFree) return listener;
  throw new TypeError(
    `Cannot serve as 'listener' must be a listener of listen() that no server uses: current value is ${
      listener instanceof SharedListener ? "a listener in use or closed" : String(listener)
    }`,
  );
}

/**
 * Returns a listener that binds with SO_REUSEPORT. Where that is not possible, warns and returns a listener that is
 * handed over by its descriptor.
 */
async function sharingListener(
  asked: Addr,
  socket: InheritedSocket | undefined,
  options: OpenOptions,
): Promise<SharedListener> {
  const obstacle = sharingObstacle(asked, socket);
  if (obstacle !== undefined) {
    console.warn(`'handoff' is "inherit" instead of "reuseport": ${obstacle}`);
    return socket === undefined
      ? await openListener(asked, options)
      : new SharedListener(socket, true);
  }
  if (socket !== undefined) return new SharedListener(socket, true, options);
  return await openListener(asked, { ...options, reusePort: true }, "reuseport");
}

function sharingObstacle(asked: Addr, socket: InheritedSocket | undefined): string | undefined {
  if (asked.transport === "unix") return "a unix socket has no SO_REUSEPORT";
  if (sockets().steering === undefined) {
    return "this runtime cannot choose which socket gets the connections";
  }
  if (socket?.handoff === "inherit") return "the predecessor listens without SO_REUSEPORT";
  return undefined;
}

async function openListener(
  asked: Addr,
  options: OpenOptions,
  handoff: Handoff = "inherit",
): Promise<SharedListener> {
  if (asked.transport === "unix") checkSparePath("listen", asked.path);
  const socket = await sockets().open(asked, options);
  const unlink = asked.transport === "unix";
  return new SharedListener({ ...socket, asked, handoff, unlink, kept: false }, false);
}

function inheritedSocketOf(fd: number): InheritedSocket {
  const addr = sockets().addressOf(fd);
  if (addr !== undefined) {
    return { fd, addr, asked: addr, handoff: "inherit", unlink: false, kept: true };
  }
  throw new TypeError(
    `Cannot listen as 'fd' must be the descriptor of a socket that listens: current value is ${fd}`,
  );
}
