/** Functions that make a server of Node's modules listen, and that return the addresses of its sockets. */
import type net from "node:net";
import process from "node:process";
import { nodeCluster } from "../../core/builtins.ts";
import { type Addr, unmapped } from "../../core/addr.ts";
import type { ServerSettings } from "../../options/server.ts";
import { unnamedServeAddress } from "../host/serve_address.ts";
import { listenError } from "../host/listen_error.ts";
import { internals } from "./internals.ts";
import { takeHandle } from "./sockets.ts";

/**
 * Makes a server of Node's modules listen on the address of the settings. Rejects with an error that names
 * the address if that fails.
 */
export async function listen(
  listener: net.Server,
  { listen, backlog, reusePort }: ServerSettings,
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

/** Makes a server of Node's modules listen. Resolves when the server listens, and rejects if that fails. */
export function listening(
  listener: net.Server,
  where: net.ListenOptions & { fd?: number },
  backlog?: number,
): Promise<void> {
  const started = startListening(listener, where, backlog);
  const asksPrimary = nodeCluster().isWorker && where.fd === undefined && where.reusePort !== true;
  return asksPrimary ? unlessPrimaryGoes(started) : started;
}

/** Makes a server of Node's modules accept on the socket with the descriptor `fd`. Returns the descriptor. */
export async function acceptOn(
  listener: net.Server,
  fd: number,
  backlog: number | undefined,
): Promise<number> {
  // Together with `fd`, Node ignores `backlog` among the options and reads the second argument.
  await listening(listener, { fd }, backlog);
  return fd;
}

/**
 * Resolves when a listener of Node's modules has closed, and does not wait for its connections. `close` calls the
 * listener's own `close` with the callback that it is given. Rejects with the error of the callback.
 */
export function listenerClosed(close: (done: (error?: Error) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    close((error) => {
      if (error !== undefined) reject(error);
    });
    // If closing fails, the callback runs in the turn after the call. If closing succeeds, the callback
    // runs only when the last connection has ended, which is too late to wait for.
    setImmediate(resolve);
  });
}

/**
 * Rejects if the primary of this worker of `node:cluster` ends before the promise settles. The primary opens the
 * sockets of its workers, so without it `listen` would wait for an answer that never comes.
 */
async function unlessPrimaryGoes(started: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const lose = () => reject(new Error("the primary of this worker has gone"));
  process.once("disconnect", lose);
  if (!process.connected) lose();
  try {
    await Promise.race([started, promise]);
  } finally {
    process.off("disconnect", lose);
  }
}

function startListening(
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
    if (handle !== undefined && internals.listenOnHandle(listener, handle, backlog)) return;
    // The cast: the types lack `fd`.
    listener.listen(where as net.ListenOptions & number, backlog as number);
  });
}

/**
 * Returns the address that a server listens on.
 *
 * @throws {Error} If the server has not listened yet.
 */
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

/** Returns the address of the client of a socket. */
export function peerAddr({ remoteAddress, remotePort }: net.Socket): Addr {
  return remoteAddress === undefined || remotePort === undefined
    ? { transport: "unix", path: "" }
    : { transport: "tcp", hostname: unmapped(remoteAddress), port: remotePort };
}

/** The address of a listener, remembered because a closed listener no longer knows its address. */
export class RememberedAddr {
  readonly #listener: net.Server;
  #addr: Addr | undefined;

  /**
   * Creates the address. `onListening` must call the function that it is given whenever the listener has
   * started to listen.
   */
  constructor(
    listener: net.Server,
    known: Addr | undefined,
    onListening: (learn: () => void) => void,
  ) {
    this.#listener = listener;
    this.#addr = known;
    if (known !== undefined) return;
    const learn = () => {
      // The runtime may not know the address of an inherited socket.
      if (listener.address() !== null) this.#addr = localAddr(listener);
    };
    if (listener.listening) learn();
    onListening(learn);
  }

  /** The address, or undefined if the listener has not listened yet. */
  get known(): Addr | undefined {
    return this.#addr;
  }

  /** The address. Throws if the listener has not listened yet. */
  get value(): Addr {
    this.#addr ??= localAddr(this.#listener);
    return this.#addr;
  }
}
