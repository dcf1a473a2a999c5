import { attempt } from "../core/attempt.ts";
import type { ConnInfo } from "../core/conn.ts";
import type { ClosingHandshake } from "../options/hijacked.ts";
import { type Conn, ConnTable, type PollPolicy, type Tally } from "./conn_table.ts";
import type { Expiry } from "./expiry.ts";

/** A connection that takes part in a drain. */
interface DrainableConn extends Conn {
  /** Starts the drain: from now on `onChange` is called when the connection may have become idle. */
  startDrain(onChange: () => void): void;
  /**
   * Makes the connection end with its current request. To be called when the listeners are closed. Absent if
   * the connection asks the driver itself.
   */
  startEnding?(): void;
  /**
   * Starts the closing handshake of the WebSocket that the connection has become. Returns false if the
   * connection is not a WebSocket, or is a WebSocket that the driver cannot reach. Absent if no
   * connection can be a WebSocket.
   */
  closeWebSocket?(handshake: ClosingHandshake): boolean;
}

/** The base class of the drivers whose engine exposes each connection. */
export abstract class TableDriver<C extends DrainableConn> {
  protected readonly conns: ConnTable<C> = new ConnTable();
  /** The {@linkcode Expiry} that closes connections that exceed a time limit; undefined without time limits. */
  protected expiry: Expiry | undefined;
  /** Whether each response is the last response of its connection. */
  protected endsConnections = false;
  /** The function to call when a change has happened that the drain waits for. Undefined until the drain starts. */
  protected onChange: (() => void) | undefined;
  /** Whether another process accepts on the listener too. Undefined until the drain starts, and if that is not known. */
  protected isShared: boolean | undefined;
  #handshake: ClosingHandshake | undefined;
  /** The connections whose closing handshake was started. */
  readonly #closing = new WeakSet<C>();

  get tally(): Tally {
    return this.conns.tally;
  }

  /** Returns the function to call when a connection may have become idle. Undefined until the drain starts. */
  protected onChangeOf(conn: C): (() => void) | undefined {
    return this.onChange && (() => this.conns.changed(conn));
  }

  startLameDuck(): void {
    this.endsConnections = true;
  }

  startDrain(onChange: () => void, isShared?: boolean): void {
    this.onChange = onChange;
    this.isShared = isShared;
    this.conns.startDrain(onChange);
    for (const conn of this.conns) attempt(() => conn.startDrain(() => this.conns.changed(conn)));
  }

  endConnections(): void {
    this.endsConnections = true;
    for (const conn of this.conns) attempt(() => conn.startEnding?.());
  }

  closeWebSockets(handshake: ClosingHandshake): void {
    this.#handshake = handshake;
    for (const conn of this.conns) this.closeIfWebSocket(conn);
  }

  /** Starts the closing handshake of a connection, if it is a WebSocket and the time has come. */
  protected closeIfWebSocket(conn: C): void {
    if (this.#handshake === undefined || this.#closing.has(conn)) return;
    const { within } = this.#handshake;
    attempt(() => {
      if (!conn.closeWebSocket?.(this.#handshake!)) return;
      this.#closing.add(conn);
      if (within !== undefined) this.conns.destroyIn(within, conn);
    });
  }

  closeIdleConns(now: number, policy: PollPolicy): boolean {
    const isDrained = this.conns.closeIdleConns(now, policy);
    // A package may accept a WebSocket some time after its request has arrived.
    if (!policy.onlyChanged) {
      for (const conn of this.conns.hijacked) this.closeIfWebSocket(conn);
    }
    if (isDrained) this.expiry?.stop();
    return isDrained;
  }

  closeAll(): Promise<void> {
    this.expiry?.stop();
    return this.conns.destroyAll();
  }

  connections(now: number): ConnInfo[] {
    return this.conns.snapshot(now);
  }
}
