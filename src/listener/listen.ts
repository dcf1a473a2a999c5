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
import { sockets } from "../runtime/sockets.ts";
import type { Handoff, InheritedSocket } from "./handover.ts";
import { claim } from "./inheritance.ts";
import { SharedListener } from "./shared_listener.ts";

/**
 * Opens a listening socket, or takes over the one for the same address that this process has
 * inherited: from the process before it, or from systemd. What it returns goes to `serve` as its
 * `listener`, or its `fd` to the `listen` of a server of Node's own.
 *
 * On Node connections are refused until a server has it, and it is the server that finds out if
 * another has the address; on Deno and Bun they wait in the accept queue. Deno asks for `--allow-net`, `--allow-env` and `--allow-ffi`.
 *
 * @throws {TypeError} If an option has the wrong type or contradicts another, or `fd` is no socket
 * that listens.
 * @throws {RangeError} If an option is out of range.
 * @throws {UpgradeError} On Deno without `--allow-ffi`, and on Deno and Bun on another system than
 * Linux.
 * @throws {Error} If it cannot listen, with the system's `code` (`EADDRINUSE` …).
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
  checkListen(options);
  const { fd, backlog, reusePort = false } = options;
  if (fd !== undefined) return new SharedListener(inheritedSocketOf(fd), true);
  const asked = listenAddress(options);
  const socket = claim(asked, options.socketName);
  if (socket !== undefined) return new SharedListener(socket, true);
  const listener = await openListener(asked, { backlog, reusePort });
  listener.backlog = backlog;
  return listener;
}

/**
 * The listener that a server is to accept on: the one it was given, the inherited one for its
 * address, or with `handoff` a new one. Undefined where the server may as well listen for itself.
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
    `Cannot serve as 'listener' must be one of listen() that no server has: current value is ${
      listener instanceof SharedListener ? "one that has been used" : String(listener)
    }`,
  );
}

/** Returns a listener that binds with SO_REUSEPORT; where that cannot be had, an inherited one, with a warning. */
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
  if (sockets().steering === undefined) return "this runtime cannot tell the kernel where to steer";
  if (socket?.handoff === "inherit") return "the process before this one listens without it";
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
  return new SharedListener({ ...socket, asked, handoff, unlink }, false);
}

function inheritedSocketOf(fd: number): InheritedSocket {
  const addr = sockets().addressOf(fd);
  if (addr !== undefined) return { fd, addr, asked: addr, handoff: "inherit", unlink: false };
  throw new TypeError(
    `Cannot listen as 'fd' must be the descriptor of a socket that listens: current value is ${fd}`,
  );
}
