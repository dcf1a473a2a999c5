import type { Addr } from "../../core/addr.ts";
import { Flight } from "../../server/flight.ts";
import type { RequestScope } from "../../core/request_scope.ts";
import type { BunServer } from "../api/bun.ts";

/** The number of remembered requests at which those that are over are forgotten. */
const SWEEP_AT = 256;

/** A request of `Bun.serve`, and what its handler is told. */
export class BunFlight extends Flight<BunServer> {
  /** Whether the handler has answered. */
  answered = false;
  readonly #server: Addr;
  #peer: Addr | null = null;
  #release: (() => void) | undefined;

  constructor(request: Request, native: BunServer, server: Addr, scope: RequestScope) {
    super(request, native, scope);
    this.#server = server;
  }

  get remoteAddr(): Addr {
    if (this.#server.transport === "unix") return { transport: "unix", path: "" };
    void this.isDelivered;
    return this.#peer ?? { transport: "tcp", hostname: "", port: 0 };
  }

  /**
   * The response is delivered, or the client has left. Bun knows the client's address until then. Of a
   * unix socket it does not tell, and it is delivered as soon as the handler has answered.
   */
  get isDelivered(): boolean {
    if (this.#server.transport === "unix") return this.answered;
    const peer = this.native.requestIP(this.request);
    if (peer === null) return true;
    this.#peer ??= { transport: "tcp", hostname: peer.address, port: peer.port };
    return false;
  }

  /** To be called when the request is over. */
  end(): void {
    this.#release?.();
  }

  protected override onEnd(release: () => void): void {
    this.#release = release;
  }
}

/**
 * The requests in flight. Which of the remembered ones are over is asked of Bun only now and then,
 * so that a request costs little more than being remembered.
 */
export class Flights {
  readonly #long = new Set<BunFlight>();
  /** The requests that have become WebSockets. */
  readonly #upgraded = new WeakSet<Request>();
  #recent: BunFlight[] = [];

  add(info: BunFlight): void {
    this.#recent.push(info);
    if (this.#recent.length === SWEEP_AT) this.sweep();
  }

  /** To be called when a request has become a WebSocket. */
  upgraded(request: Request): void {
    this.#upgraded.add(request);
  }

  isUpgraded({ request }: BunFlight): boolean {
    return this.#upgraded.has(request);
  }

  current(): BunFlight[] {
    this.sweep();
    return [...this.#long];
  }

  /** Whether a handler has not answered yet, whatever has become of its client. */
  get hasUnanswered(): boolean {
    return this.current().some((info) => !this.#isAnswered(info));
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

  /** Forgets all requests. */
  abandon(): void {
    for (const info of this.current()) info.end();
    this.#long.clear();
  }

  #isAnswered(info: BunFlight): boolean {
    return info.answered || this.isUpgraded(info);
  }

  #isOver(info: BunFlight): boolean {
    return info.isDelivered && this.#isAnswered(info);
  }
}
