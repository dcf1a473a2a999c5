import { rmSync } from "node:fs";
import type { Addr } from "../core/addr.ts";
import { UpgradeError } from "../core/errors.ts";
import {
  checkListen,
  checkSparePath,
  listenAddress,
  type Listener,
  type ListenOptions,
} from "../options/listen.ts";
import type { ServeOptions } from "../options/serve.ts";
import type { Driver } from "../server/driver.ts";
import { sockets } from "../runtime/sockets.ts";
import type { OpenOptions } from "../core/sockets.ts";
import type { Handoff, Heirloom } from "./handover.ts";
import { claim, giveBack } from "./inheritance.ts";
import { cancel, isPending, whenReady } from "./readiness.ts";

/** Those of this process that are open: what a successor inherits. */
const open = new Set<SharedListener>();
/** Since a successor has taken over, what is closed here is still in use there. */
let succeeded = false;

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
  if (fd !== undefined) return new SharedListener(heirloomOf(fd), true);
  const asked = listenAddress(options);
  const heirloom = claim(asked, options.socketName);
  if (heirloom !== undefined) return new SharedListener(heirloom, true);
  const listener = await openListener(asked, { backlog, reusePort });
  listener.backlog = backlog;
  return listener;
}

/**
 * The listener that a server is to accept on: the one it was given, the inherited one for its
 * address, or with `handoff` a new one. Undefined where the server may as well listen for itself.
 */
export async function listenerFor(
  { listener, handoff, backlog, reusePort = false, socketName, ...where }: ServeOptions,
): Promise<SharedListener | undefined> {
  if (listener !== undefined) return freeListener(listener);
  const asked = listenAddress(where);
  const options = { backlog, reusePort };
  const heirloom = claim(asked, socketName);
  if (heirloom === undefined && handoff === undefined) return undefined;
  if (handoff !== "reuseport") {
    if (heirloom !== undefined) {
      return new SharedListener({ ...heirloom, handoff: "inherit" }, true);
    }
    return await openListener(asked, options);
  }
  return await sharingListener(asked, heirloom, options);
}

function freeListener(listener: unknown): SharedListener {
  if (listener instanceof SharedListener && listener.isFree) return listener;
  throw new TypeError(
    `Cannot serve as 'listener' must be one of listen() that no server has: current value is ${
      listener instanceof SharedListener ? "one that has been used" : String(listener)
    }`,
  );
}

/** One that binds with SO_REUSEPORT, or the next best, and says so. */
async function sharingListener(
  asked: Addr,
  heirloom: Heirloom | undefined,
  options: OpenOptions,
): Promise<SharedListener> {
  const obstacle = sharingObstacle(asked, heirloom);
  if (obstacle !== undefined) {
    console.warn(`'handoff' is "inherit" instead of "reuseport": ${obstacle}`);
    return heirloom === undefined
      ? await openListener(asked, options)
      : new SharedListener(heirloom, true);
  }
  if (heirloom !== undefined) return new SharedListener(heirloom, true, options);
  return await openListener(asked, { ...options, reusePort: true }, "reuseport");
}

function sharingObstacle(asked: Addr, heirloom: Heirloom | undefined): string | undefined {
  if (asked.transport === "unix") return "a unix socket has no SO_REUSEPORT";
  if (sockets().steering === undefined) return "this runtime cannot tell the kernel where to steer";
  if (heirloom?.handoff === "inherit") return "the process before this one listens without it";
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

function heirloomOf(fd: number): Heirloom {
  const addr = sockets().addressOf(fd);
  if (addr !== undefined) return { fd, addr, asked: addr, handoff: "inherit", unlink: false };
  throw new TypeError(
    `Cannot listen as 'fd' must be the descriptor of a socket that listens: current value is ${fd}`,
  );
}

/** A {@linkcode Listener} whose server may be one of ours. */
export class SharedListener implements Listener {
  readonly inherited: boolean;
  /** What a server has to say when it has the socket listen, where that is not done yet. */
  backlog: number | undefined;
  readonly #heirloom: Heirloom;
  /** How to open a socket beside that of the predecessor, instead of accepting on its own. */
  readonly #beside: OpenOptions | undefined;
  #fd: number;
  #state: "open" | "served" | "closed" = "open";
  #start: (() => Promise<void>) | undefined;

  constructor(heirloom: Heirloom, inherited: boolean, beside?: OpenOptions) {
    this.#heirloom = heirloom;
    this.inherited = inherited;
    this.#beside = beside;
    this.#fd = heirloom.fd;
    open.add(this);
  }

  get addr(): Addr {
    return this.#heirloom.addr;
  }

  get handoff(): Handoff {
    return this.#heirloom.handoff;
  }

  get fd(): number {
    return sockets().lend(this.#fd);
  }

  /** The successor has the same accept queue. With SO_REUSEPORT, this one was empty before the drain began. */
  get isTakenOver(): boolean {
    return succeeded;
  }

  /** Whether a server can still have it. */
  get isFree(): boolean {
    return this.#state === "open" && this.#start === undefined;
  }

  /** Has the driver accept on it, once this process is ready. */
  async giveTo(driver: Driver): Promise<void> {
    this.#start = async () => {
      if (this.#beside !== undefined) await this.#openBeside(this.#beside);
      this.#fd = await driver.acceptOn(this.#fd);
      this.#state = "served";
    };
    await whenReady(this.#start);
  }

  /** Joins the sockets of the port as the one that gets all new connections. */
  async #openBeside(options: OpenOptions): Promise<void> {
    const socket = await sockets().open(this.addr, { ...options, reusePort: true });
    sockets().close(this.#fd);
    this.#fd = socket.fd;
    if (sockets().steering?.steerTo(socket)) return;
    throw new UpgradeError("Cannot have the kernel steer connections to the new socket");
  }

  /** Leaves it to the kernel again who gets the connections. */
  stopSteering(): void {
    if (this.#beside !== undefined && this.#state === "served") sockets().steering?.stop(this.#fd);
  }

  /** Whether its descriptor is still that of the socket: a server of somebody else's may close it. */
  get isListening(): boolean {
    return sockets().isOpen(this.#fd);
  }

  /** What a successor has to know of it. */
  get heirloom(): Heirloom {
    return { ...this.#heirloom, fd: this.#fd };
  }

  close(): void {
    if (this.isFree) this.closed();
  }

  /** To be called when its server has closed it. */
  closed(): void {
    if (this.#state === "closed") return;
    const wasOpen = this.#state === "open";
    this.#state = "closed";
    open.delete(this);
    if (this.#start !== undefined) cancel(this.#start);
    // Another server may ask for it; until this process is ready it is not its to close.
    if (wasOpen && this.inherited && isPending()) return giveBack(this.#heirloom);
    if (wasOpen) sockets().close(this.#fd);
    const { addr, unlink } = this.#heirloom;
    if (unlink && !succeeded && addr.transport === "unix") rmSync(addr.path, { force: true });
  }
}

/** The open ones. */
export function openListeners(): readonly SharedListener[] {
  return [...open].filter((listener) => listener.isListening);
}

/** From now on a successor listens: the files of unix sockets are its own. */
export function leaveToSuccessor(): void {
  succeeded = true;
}
