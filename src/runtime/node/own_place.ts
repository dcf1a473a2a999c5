import net from "node:net";
import process from "node:process";
import { type Addr, isUnspecified } from "../../core/addr.ts";
import { type Handle, internals } from "./internals.ts";

type TcpAddr = Addr & { transport: "tcp" };

/** The number of probes that are open at the same time. */
const PROBES = 8;

/**
 * Fills the last place in the accept queue of a listener of this process with a connection from this
 * process.
 *
 * If several sockets listen at the address with SO_REUSEPORT, the kernel chooses the socket by the client's address
 * and port, so a port that has led to this listener leads to it again. Such a port is found with probes: connections
 * that are closed when they are accepted, before the server sees them.
 */
export class OwnPlace {
  readonly #addr: TcpAddr;
  readonly #probes: Map<number, net.Socket> = new Map();
  readonly #onFound: () => void;
  readonly #endProbing: () => void;
  #port: number | undefined;

  /** Begins to look for a port. `onFound` is called when a port was found. */
  constructor(handle: Handle, addr: TcpAddr, onFound: () => void) {
    this.#addr = addr;
    this.#onFound = onFound;
    this.#endProbing = internals.interceptAccepted(handle, (port) => this.#isProbe(port));
    void this.#probe();
  }

  /**
   * Connects to the listener. Resolves with true if the connection has entered its accept queue, which on the loopback
   * interface happens during the call. Resolves with false if another connection was faster, or if no port is known
   * yet that leads to the listener.
   */
  async take(): Promise<boolean> {
    if (this.#port === undefined) {
      await this.#probe();
      return false;
    }
    const isTaken = await connects(this.#addr, this.#port);
    // Another connection has taken the place, or other sockets share the port now.
    if (!isTaken) this.#port = undefined;
    return isTaken;
  }

  /** Ends the search. */
  release(): void {
    this.#endProbing();
    this.#dropProbes();
  }

  async #probe(): Promise<void> {
    this.#dropProbes();
    for (let i = 0; i < PROBES; i++) {
      const probe = connectTo(this.#addr);
      await nextTick();
      const port = localPortOf(probe);
      if (port === undefined) probe.destroy();
      else this.#probes.set(port, probe);
    }
  }

  #isProbe(port: number): boolean {
    const probe = this.#probes.get(port);
    if (probe === undefined) return false;
    this.#port = port;
    // A reset leaves the port free for the connection that takes the place.
    this.#dropProbes();
    this.#onFound();
    return true;
  }

  #dropProbes(): void {
    for (const probe of this.#probes.values()) probe.resetAndDestroy();
    this.#probes.clear();
  }
}

/** Connects and disconnects at once. Returns whether the connection has entered an accept queue. */
export async function connects(addr: TcpAddr, localPort?: number): Promise<boolean> {
  const socket = connectTo(addr, localPort);
  await nextTick();
  const isConnected = internals.handleOf(socket)?.getpeername?.({}) === 0;
  socket.destroy();
  return isConnected;
}

function connectTo({ hostname, port }: TcpAddr, localPort?: number): net.Socket {
  const loopback = hostname === "::" ? "::1" : "127.0.0.1";
  const host = isUnspecified(hostname) ? loopback : hostname;
  const socket = net.connect({ host, port, localPort });
  socket.on("error", () => {});
  return socket;
}

function localPortOf(socket: net.Socket): number | undefined {
  const name: { port?: number } = {};
  internals.handleOf(socket)?.getsockname?.(name);
  return name.port;
}

/** Resolves when Node has called connect(2). */
function nextTick(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}
