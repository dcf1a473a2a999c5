import type { Addr } from "../../core/addr.ts";
import type { ConnInfo } from "../../core/conn.ts";
import type { ClosingHandshake } from "../../options/hijacked.ts";
import type { WebSocketLife } from "../../server/web_socket_life.ts";
import type { ClientConns } from "./client_conns.ts";
import { internals } from "./internals.ts";

/**
 * The number of ms to wait for a WebSocket to open, once the response to its request was delivered. A
 * WebSocket whose client has left never opens, and Deno does not report that. Other WebSockets open in the
 * next turns of the event loop, which may be slow on a busy machine.
 */
const OPENING = 1_000;

/** A request that has become a WebSocket. */
export interface Upgraded {
  readonly remoteAddr: Addr;
  /** The time at which the request arrived, on the clock of `performance.now()`. */
  readonly since: number;
  readonly life: WebSocketLife;
}

/** A WebSocket that is open or about to open. */
interface Entry extends Upgraded {
  /** The timer that cuts the WebSocket off. Undefined without a limit, and until the close frame was sent. */
  deadline: ReturnType<typeof setTimeout> | undefined;
  /** Whether the close frame was sent. */
  isClosing: boolean;
}

/** The WebSockets of a server of `Deno.serve`, which shows neither them nor their end. */
export class ServeWebSockets {
  readonly #entries = new Map<WebSocket, Entry>();
  /** Called when a WebSocket is gone, and told whether it was cut off. */
  readonly #onGone: (isCut: boolean) => void;
  readonly #conns: ClientConns;
  #handshake: ClosingHandshake | undefined;

  constructor(onGone: (isCut: boolean) => void, conns: ClientConns) {
    this.#onGone = onGone;
    this.#conns = conns;
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /**
   * Adds the WebSocket of a request. The WebSocket opens after its response is delivered, which is when
   * `delivered` settles.
   */
  add(socket: WebSocket, request: Upgraded, delivered: Promise<void>): void {
    const entry = { ...request, deadline: undefined, isClosing: false };
    this.#entries.set(socket, entry);
    socket.addEventListener("open", () => {
      // The WebSocket may have been given up meanwhile.
      this.#entries.set(socket, entry);
      this.#close(socket, entry);
    });
    socket.addEventListener("close", () => this.#delete(socket, false));
    const giveUp = () => {
      if (socket.readyState === WebSocket.CONNECTING) this.#delete(socket, false);
    };
    const onDelivered = () => void setTimeout(giveUp, OPENING).unref();
    delivered.then(onDelivered, giveUp);
  }

  /** Starts the closing handshake of each open WebSocket, and of each WebSocket that opens later. */
  close(handshake: ClosingHandshake): void {
    this.#handshake = handshake;
    for (const [socket, entry] of this.#entries) this.#close(socket, entry);
  }

  #close(socket: WebSocket, entry: Entry): void {
    if (this.#handshake === undefined || entry.isClosing) return;
    if (socket.readyState === WebSocket.CONNECTING) return;
    const { code, reason, within } = this.#handshake;
    entry.isClosing = true;
    internals.closeWebSocket(socket, code, reason);
    if (within === undefined) return;
    entry.deadline = setTimeout(() => this.#cut(socket, entry), within);
    entry.deadline.unref();
  }

  /** Cuts a WebSocket off. If that is impossible, the WebSocket counts as gone, and Deno's own stop ends it. */
  #cut(socket: WebSocket, { remoteAddr }: Entry): void {
    this.#conns.cut(remoteAddr);
    internals.connectionServing()?.core.tryClose(internals.resourceOf(socket));
    this.#delete(socket, true);
  }

  #delete(socket: WebSocket, isCut: boolean): void {
    const entry = this.#entries.get(socket);
    if (entry === undefined) return;
    this.#entries.delete(socket);
    clearTimeout(entry.deadline);
    entry.life.end();
    this.#onGone(isCut);
  }

  /** Cuts all WebSockets off. */
  cutAll(): void {
    for (const [socket, entry] of this.#entries) this.#cut(socket, entry);
  }

  snapshot(now: number): ConnInfo[] {
    return [...this.#entries.values()].map(({ remoteAddr, since }) => ({
      state: "hijacked",
      age: now - since,
      remoteAddr,
    }));
  }
}
