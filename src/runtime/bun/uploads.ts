import type { BunFlight } from "./flights.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";
import { keyOf } from "../../core/addr.ts";

/** The number of remembered connections at which those that are gone are forgotten. */
const SWEEP_AT = 1_024;

/**
 * The connections that have had an upload answered before it was read. Bun takes in what comes of it
 * later, and does not count the connection as idle until its next request is answered.
 */
export class UnreadUploads {
  #conns = new Set<string>();
  /** The requests whose handler has asked for the stream of the body. */
  readonly #streamed = new WeakSet<Request>();
  readonly #watchedBody = watchedBody((request) => this.#streamed.add(request));
  #sweepAt = SWEEP_AT;

  get isEmpty(): boolean {
    return this.#conns.size === 0;
  }

  /**
   * To be called with each request. Bun does not tell whether a handler has cancelled a body that it has
   * used; one that has never asked for the stream has not. Looking for the stream afterwards would make one.
   */
  begin(request: Request): void {
    if (mayHaveBody(request)) Object.defineProperty(request, "body", this.#watchedBody);
  }

  /** To be called when a request is answered. `open` lists the connections. */
  answered(info: BunFlight, open: () => readonly KernelConn[]): void {
    const { request } = info;
    if (!mayHaveBody(request)) return;
    if (request.bodyUsed && !this.#streamed.has(request)) return;
    const { remoteAddr } = info;
    // Of a unix socket nothing tells one connection from another.
    if (remoteAddr.transport === "unix") return;
    this.#conns.add(keyOf(remoteAddr));
    if (this.#conns.size >= this.#sweepAt) this.#sweep(open());
  }

  has({ remoteAddr }: KernelConn): boolean {
    return this.#conns.has(keyOf(remoteAddr));
  }

  #sweep(open: readonly KernelConn[]): void {
    this.#conns = this.#conns.intersection(
      new Set(open.map(({ remoteAddr }) => keyOf(remoteAddr))),
    );
    this.#sweepAt = Math.max(SWEEP_AT, 2 * this.#conns.size);
  }
}

function mayHaveBody({ method }: Request): boolean {
  return method !== "GET" && method !== "HEAD";
}

/** Makes a property `body` that calls a function before it returns what the request's own returns. */
function watchedBody(onUse: (request: Request) => void): PropertyDescriptor {
  const bodyOf = Object.getOwnPropertyDescriptor(Request.prototype, "body")?.get;
  return {
    configurable: true,
    get(this: Request): ReadableStream | null {
      onUse(this);
      return bodyOf?.call(this) ?? null;
    },
  };
}
