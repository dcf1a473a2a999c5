import { type Addr, type ConnInfo, inFlight, pathOf, type RequestInFlight } from "../conn.ts";
import { RequestInfo, type RequestScope } from "../request_info.ts";
import type { BunServer } from "./bun_types.ts";

/** How many requests are remembered before those that are over are forgotten. */
const SWEEP_AT = 256;

/** A request and what its handler is told. */
export class BunInfo extends RequestInfo {
  readonly native: BunServer;
  readonly request: Request;
  /** When it came, on the clock of `performance.now()`. */
  readonly since: number = performance.now();
  /** The handler has answered. */
  answered = false;
  readonly #server: Addr;
  #peer: Addr | null = null;
  #release: (() => void) | undefined;

  constructor(request: Request, native: BunServer, server: Addr, scope: RequestScope) {
    super(scope);
    this.request = request;
    this.native = native;
    this.#server = server;
  }

  get remoteAddr(): Addr {
    if (this.#server.transport === "unix") return { transport: "unix", path: "" };
    // Bun knows the address until the response is delivered.
    const peer = this.native.requestIP(this.request);
    this.#peer ??= peer && { transport: "tcp", hostname: peer.address, port: peer.port };
    return this.#peer ?? { transport: "tcp", hostname: "", port: 0 };
  }

  /** To be called when the request is over. */
  end(): void {
    this.#release?.();
  }

  protected override onEnd(release: () => void): void {
    this.#release = release;
  }

  protected override inFlight(): RequestInFlight {
    const { method, url } = this.request;
    return { method, path: pathOf(url), since: this.since };
  }

  snapshot(now: number): ConnInfo {
    return {
      state: "active",
      age: now - this.since,
      remoteAddr: this.remoteAddr,
      ...inFlight(this.inFlight(), now),
    };
  }
}

/**
 * The requests in flight. Which of the remembered ones are over is asked of Bun only now and then,
 * so that a request costs little more than being remembered.
 */
export class Flights {
  readonly #isOver: (info: BunInfo) => boolean;
  readonly #long = new Set<BunInfo>();
  #recent: BunInfo[] = [];

  constructor(server: BunServer, addr: Addr) {
    this.#isOver = addr.transport === "unix"
      ? (info) => info.answered
      // Bun knows the address for as long as the response is not delivered.
      : (info) => server.requestIP(info.request) === null;
  }

  add(info: BunInfo): void {
    this.#recent.push(info);
    if (this.#recent.length === SWEEP_AT) this.sweep();
  }

  current(): BunInfo[] {
    this.sweep();
    return [...this.#long];
  }

  /** Forgets the requests that are over. */
  sweep(): void {
    for (const info of this.#long) {
      if (!this.#isOver(info)) continue;
      this.#long.delete(info);
      info.end();
    }
    for (const info of this.#recent) {
      if (this.#isOver(info)) info.end();
      else this.#long.add(info);
    }
    this.#recent = [];
  }
}
