import type { Addr } from "../../../src/core/addr.ts";
import type { ClosingHandshake } from "../../../src/options/hijacked.ts";
import type { PollPolicy } from "../../../src/server/conn_table.ts";
import type { Driver } from "../../../src/server/driver.ts";
import { TableDriver } from "../../../src/server/table_driver.ts";
import type { ScriptedConn } from "./scripted_conn.ts";

/** What becomes of the listener: it serves, it was told to close, it is closed, or closing it has failed. */
export type ListenerState = "open" | "closing" | "closed" | "failed";

/**
 * A driver that keeps the contract of src/server/driver.ts and does what the schedule says. What the server does
 * against the contract is a misuse.
 */
export class ScriptedDriver extends TableDriver<ScriptedConn> implements Driver {
  readonly engine = "node";
  readonly addr: Addr = { transport: "unix", path: "listener" };
  readonly scheme = "http";
  readonly native: unknown = undefined;
  readonly handles: readonly never[] = [];
  listener: ListenerState = "open";
  /** Whether connections wait in the accept queue. */
  hasQueue: boolean;
  isForced = false;
  /** Whether WebSockets were closed before the listeners: then all connections are closed next. */
  #isAboutToCloseAll = false;
  readonly #misuse: (what: string) => void;
  readonly #calls = new Set<string>();
  readonly #listenerClosed = Promise.withResolvers<void>();
  readonly #queueEmpty = Promise.withResolvers<void>();

  constructor(hasQueue: boolean, misuse: (what: string) => void) {
    super();
    this.hasQueue = hasQueue;
    this.#misuse = misuse;
  }

  override startDrain(onChange: () => void): void {
    this.#once("startDrain");
    super.startDrain(onChange);
  }

  waitingToBeAccepted(): number {
    return this.hasQueue ? 1 : 0;
  }

  async emptyAcceptQueue(force: AbortSignal): Promise<void> {
    this.#once("emptyAcceptQueue");
    const forced = Promise.withResolvers<void>();
    force.addEventListener("abort", () => forced.resolve());
    await Promise.race([this.#queueEmpty.promise, forced.promise]);
  }

  async closeListeners(): Promise<void> {
    this.#once("closeListeners", "startDrain");
    this.listener = "closing";
    try {
      await this.#listenerClosed.promise;
      this.listener = "closed";
    } catch (error) {
      this.listener = "failed";
      throw error;
    }
  }

  override endConnections(): void {
    this.#once("endConnections", "startDrain");
    super.endConnections();
  }

  override closeWebSockets(handshake: ClosingHandshake): void {
    this.#once("closeWebSockets");
    this.#isAboutToCloseAll = !this.#calls.has("closeListeners");
    super.closeWebSockets(handshake);
  }

  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    if (!this.#calls.has("endConnections")) this.#misuse("a poll came before endConnections()");
    return super.closeIdleConns(now, policy);
  }

  override closeAll(): Promise<void> {
    this.#once("closeAll", "startDrain");
    this.isForced = true;
    return super.closeAll();
  }

  /** Whether clients can still connect: they may until the runtime has closed the listener. */
  get isAccepting(): boolean {
    return !this.isForced && (this.listener === "open" || this.listener === "closing");
  }

  accept(conn: ScriptedConn): void {
    this.conns.add(conn);
    const onChange = this.onChangeOf(conn);
    if (onChange !== undefined) conn.startDrain(onChange);
  }

  gone(conn: ScriptedConn): void {
    this.conns.delete(conn);
  }

  /** The accept queue is empty. */
  emptyQueue(): void {
    this.hasQueue = false;
    this.#queueEmpty.resolve();
  }

  /** The listener is closed, or closing it fails. */
  settleListener(error?: Error): void {
    if (error === undefined) this.#listenerClosed.resolve();
    else this.#listenerClosed.reject(error);
  }

  #once(name: string, before?: string): void {
    if (this.#isAboutToCloseAll && name !== "closeAll") {
      this.#misuse(`closeWebSockets() came before closeListeners(), and ${name}() behind it`);
    }
    this.#isAboutToCloseAll = false;
    if (this.#calls.has(name)) this.#misuse(`${name}() was called twice`);
    if (before !== undefined && !this.#calls.has(before)) {
      this.#misuse(`${name}() was called before ${before}()`);
    }
    this.#calls.add(name);
  }
}
