/** What is recorded of connections by the addresses of their clients, until the connections are known. */
import { keyOf } from "../../core/addr.ts";
import type { KernelConn } from "../linux/kernel_conn.ts";

/** The number of records at which those of closed connections are first removed. */
const PRUNE_AT = 1_024;

/** The records of the clients of one server. The keys are those of {@linkcode keyOf}. */
export class ClientRecords {
  readonly #unread = new Set<string>();
  readonly #http2 = new Set<string>();
  readonly #webSockets = new Map<string, WebSocket>();
  readonly #open: () => readonly KernelConn[];
  #pruneAt = PRUNE_AT;

  /** `open` returns the open connections, so that the records of closed connections can be removed. */
  constructor(open: () => readonly KernelConn[]) {
    this.#open = open;
  }

  /** Records that an upload of the client was left unread. */
  addUnread(key: string): void {
    this.#unread.add(key);
    this.#prune();
  }

  isUnread(key: string): boolean {
    return this.#unread.has(key);
  }

  /** Records that the client speaks HTTP/2. */
  addHttp2(key: string): void {
    this.#http2.add(key);
    this.#prune();
  }

  isHttp2(key: string): boolean {
    return this.#http2.has(key);
  }

  addWebSocket(key: string, socket: WebSocket): void {
    this.#webSockets.set(key, socket);
    this.#prune();
  }

  deleteWebSocket(key: string): void {
    this.#webSockets.delete(key);
  }

  webSocketOf(key: string): WebSocket | undefined {
    return this.#webSockets.get(key);
  }

  get #size(): number {
    return this.#unread.size + this.#http2.size + this.#webSockets.size;
  }

  /** Forgets what was recorded of connections that have closed. */
  #prune(): void {
    if (this.#size < this.#pruneAt) return;
    const open = new Set(this.#open().map(({ remoteAddr }) => keyOf(remoteAddr)));
    for (const recorded of [this.#unread, this.#http2, this.#webSockets]) {
      for (const key of recorded.keys()) {
        if (!open.has(key)) recorded.delete(key);
      }
    }
    this.#pruneAt = Math.max(PRUNE_AT, 2 * this.#size);
  }
}
