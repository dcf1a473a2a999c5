import { setImmediate } from "node:timers";
import type { Addr } from "../../core/addr.ts";
import { attempt } from "../../core/attempt.ts";
import type { LimitSettings } from "../../options/limits.ts";
import { lookInterval } from "../../server/expiry.ts";
import type { AcceptedSocket, AcceptedSockets } from "../linux/accepted_sockets.ts";
import type { KernelSockets } from "../linux/kernel_sockets.ts";
import { mayBeFreshSession } from "./protocol.ts";

/** The number of ms for which sockets may be checked in one turn of the event loop. */
const SLICE = 3;

/** The functions that a {@linkcode KernelExpiry} calls. */
export interface ExpiryEvents {
  /** Returns the time at which the last request on an HTTP/2 session was over; undefined for other connections. */
  lastStreamAt(client: Addr | undefined): number | undefined;
  /** Called with sockets that have exceeded a time limit, unless a request is in flight on them. */
  expire(sockets: readonly AcceptedSocket[]): void;
}

/**
 * Finds connections that are idle, or whose head does not arrive, for longer than the limits allow. It checks all
 * connections now and then, so that requests cost nothing.
 */
export class KernelExpiry {
  readonly #kernel: KernelSockets;
  readonly #accepted: AcceptedSockets;
  readonly #limits: Pick<LimitSettings, "idleTimeout" | "headerTimeout">;
  readonly #events: ExpiryEvents;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  /** The times at which connections that may be HTTP/2 sessions without a request were first seen, by cookie. */
  #fresh = new Map<bigint, number>();
  #isLooking = false;
  #isOver = false;

  constructor(
    kernel: KernelSockets,
    accepted: AcceptedSockets,
    limits: Pick<LimitSettings, "idleTimeout" | "headerTimeout">,
    events: ExpiryEvents,
  ) {
    this.#kernel = kernel;
    this.#accepted = accepted;
    this.#limits = limits;
    this.#events = events;
    const interval = lookInterval(limits);
    if (interval === undefined) return;
    this.#timer = setInterval(() => this.#start(), interval);
    this.#timer.unref();
  }

  /** Stops the checks. To be called when no connection is left. */
  stop(): void {
    this.#isOver = true;
    clearInterval(this.#timer);
  }

  #start(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    attempt(() => this.#look(this.#accepted.descriptors(), new Map()));
  }

  /** Checks the sockets in `left`. If there are many, continues in the next turn of the event loop. */
  #look(left: number[], fresh: Map<bigint, number>): void {
    if (this.#isOver) return;
    const end = performance.now() + SLICE;
    const expired: AcceptedSocket[] = [];
    while (left.length > 0 && performance.now() < end) {
      const socket = this.#accepted.at(left.pop()!);
      if (socket !== undefined && this.#isExpired(socket, fresh)) expired.push(socket);
    }
    if (expired.length > 0) attempt(() => this.#events.expire(expired));
    if (left.length > 0) return void setImmediate(() => this.#look(left, fresh)).unref();
    this.#fresh = fresh;
    this.#isLooking = false;
  }

  #isExpired(socket: AcceptedSocket, fresh: Map<bigint, number>): boolean {
    const { fd, cookie } = socket;
    const traffic = this.#kernel.trafficOf(fd);
    if (traffic?.isEstablished !== true) return false;
    const { idleTimeout, headerTimeout } = this.#limits;
    const { written, sentAgo, isDelivered } = traffic;
    if (written === 0) return sentAgo >= headerTimeout;
    const now = performance.now();
    if (mayBeFreshSession(written)) {
      const since = this.#fresh.get(cookie) ?? now;
      fresh.set(cookie, since);
      if (now - since >= headerTimeout) return true;
    }
    if (!isDelivered || idleTimeout === Infinity) return false;
    // Answers to pings are also sent on an HTTP/2 session, so the time of the last sent byte does not
    // show idleness.
    const idleSince = this.#events.lastStreamAt(this.#accepted.clientOf(socket)) ?? now - sentAgo;
    return now - idleSince >= idleTimeout;
  }
}
