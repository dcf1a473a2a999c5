/** Servers of `Bun.serve` that somebody else made. */
import {
  type Addr,
  type ConnInfo,
  NEW_CONN_LIFETIME,
  type PollPolicy,
  type Tally,
} from "../conn.ts";
import type { BunServer } from "./bun_types.ts";
import type { Driver, Engine } from "./driver.ts";
import { forcedEnd } from "./forced_end.ts";
import { isAt, type KernelConn, type KernelSockets, openKernelSockets } from "./kernel_sockets.ts";

/** A server of `Bun.serve`, which is what `Bun.Server` describes. */
export interface BunNativeServer {
  /** Where it listens; without a port on a unix socket. */
  readonly port?: number | undefined;
  /** Where it can be reached. */
  readonly url: URL;
  /** How many requests have no response yet. */
  readonly pendingRequests: number;
  /** How many WebSockets are open. */
  readonly pendingWebSockets: number;
  /** Stops accepting, and resolves when the last connection is closed; with true it closes them. */
  stop(closeActiveConnections?: boolean): Promise<void>;
}

/** Whether a value looks like a {@linkcode BunNativeServer}. */
export function isBunServer(value: unknown): value is BunNativeServer {
  return typeof value === "object" && value !== null && "stop" in value && "reload" in value &&
    "pendingRequests" in value && "pendingWebSockets" in value;
}

/** Drives what shows how many requests it has and, with the kernel's help, its connections. */
export class AdoptedBunDriver implements Driver {
  readonly engine: Engine = "bun";
  readonly secure: boolean;
  readonly addr: Addr;
  readonly #server: BunServer & BunNativeServer;
  readonly #kernel: KernelSockets | undefined = openKernelSockets();
  #onChange = (): void => {};
  #openAtStart = 0;
  #closedIdle = 0;
  #forced = 0;
  #stopped: Promise<void> | undefined;
  #gone = false;

  constructor(server: BunNativeServer) {
    // The cast: every server of Bun has what is used of one.
    this.#server = server as BunServer & BunNativeServer;
    this.secure = server.url.protocol === "https:";
    this.addr = addrOf(this.#server);
    const listener = this.#listener();
    // What Linux would keep back until it sends something, and Bun would lose.
    if (listener !== undefined) this.#kernel?.acceptAtOnce(listener);
  }

  #listener(): number | undefined {
    const { addr } = this;
    if (this.#kernel === undefined || addr.transport === "unix") return undefined;
    for (const fd of this.#kernel.listening()) {
      const bound = this.#kernel.addressOf(fd);
      if (bound !== undefined && isAt(bound, addr)) return fd;
    }
    return undefined;
  }

  acceptOn(): never {
    throw new TypeError("Cannot accept as a server of Bun.serve listens already");
  }

  /** Nothing: its responses are not within reach. */
  startLameDuck(): void {}

  startDrain(onChange: () => void): void {
    this.#onChange = onChange;
    this.#openAtStart = this.#count();
  }

  /** Nothing: its responses are not within reach. */
  endConnections(): void {}

  waitingToBeAccepted(): number | undefined {
    return 0;
  }

  async emptyAcceptQueue(): Promise<void> {}

  /** Bun's own way: what is idle closes in the same breath, whatever `idleGrace` says. */
  closeListeners(): void {
    this.#closedIdle += this.#server.closeIdleConnections();
    this.#stopped ??= this.#server.stop().then(() => {
      this.#gone = true;
      this.#onChange();
    });
  }

  closeIdle(_now: number, policy: PollPolicy): boolean {
    this.#closedIdle += this.#server.closeIdleConnections();
    for (const conn of this.#kernelConns()) if (isOverdue(conn)) this.#kernel?.shutdown(conn.fd);
    const onlyWebSockets = this.#server.pendingRequests === 0 && this.#server.pendingWebSockets > 0;
    if (policy.ignoreHijacked && onlyWebSockets) return false;
    return !this.#gone;
  }

  async closeAll(): Promise<void> {
    this.#forced = this.#gone ? 0 : this.#count();
    const stopped = Promise.all([this.#server.stop(true), this.#stopped]);
    // Sessions of HTTP/2 with a stream in flight Bun would leave open for seconds.
    for (const { fd } of this.#kernelConns()) this.#kernel?.shutdown(fd);
    await forcedEnd(stopped);
    this.#gone = true;
  }

  get tally(): Tally {
    const [idle, forced] = [this.#closedIdle, this.#forced];
    const left = this.#gone ? 0 : this.#count();
    return { idle, forced, drained: Math.max(0, this.#openAtStart - idle - forced - left) };
  }

  /** What is known of them: those with a request in flight are not told from the others. */
  connections(): ConnInfo[] {
    const { pendingRequests, pendingWebSockets } = this.#server;
    const busy = pendingRequests > 0 ? "active" : pendingWebSockets > 0 ? "hijacked" : "idle";
    return this.#kernelConns().map(({ silent, silentFor, remoteAddr }) => ({
      state: silent ? "new" : busy,
      age: silentFor,
      remoteAddr,
    }));
  }

  #count(): number {
    return this.#kernelConns().length ||
      this.#server.pendingRequests + this.#server.pendingWebSockets;
  }

  #kernelConns(): KernelConn[] {
    return this.#kernel?.connections(this.addr) ?? [];
  }
}

function isOverdue({ silent, silentFor }: KernelConn): boolean {
  return silent && silentFor >= NEW_CONN_LIFETIME;
}

function addrOf({ port, url, address }: BunServer & BunNativeServer): Addr {
  return port === undefined
    ? { transport: "unix", path: decodeURIComponent(url.pathname) }
    : { transport: "tcp", hostname: address.address, port };
}
