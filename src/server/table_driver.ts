import { attempt } from "../core/attempt.ts";
import type { ConnInfo } from "../core/conn.ts";
import { type Conn, ConnTable, type PollPolicy, type Tally } from "./conn_table.ts";
import type { Expiry } from "./expiry.ts";

/** A connection that takes part in a drain. */
interface DrainableConn extends Conn {
  /** Starts the drain: from now on `onChange` is called when the connection may have become idle. */
  startDrain(onChange: () => void): void;
  /** Makes the connection end with its current request. To be called when the listeners are closed. */
  startEnding(): void;
}

/** The base class of the drivers whose engine exposes each connection. */
export abstract class TableDriver<C extends DrainableConn> {
  protected readonly conns: ConnTable<C> = new ConnTable();
  /** What closes connections that exceed a time limit; undefined if there are no limits. */
  protected expiry: Expiry | undefined;
  /** Whether each response is the last response of its connection. */
  protected endsConnections = false;
  /** The function to call when something has changed that the drain waits for. Undefined until the drain starts. */
  protected onChange: (() => void) | undefined;

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

  startDrain(onChange: () => void): void {
    this.onChange = onChange;
    this.conns.startDrain(onChange);
    for (const conn of this.conns) attempt(() => conn.startDrain(() => this.conns.changed(conn)));
  }

  endConnections(): void {
    this.endsConnections = true;
    for (const conn of this.conns) attempt(() => conn.startEnding());
  }

  closeIdleConns(now: number, policy: PollPolicy): boolean {
    const isDrained = this.conns.closeIdleConns(now, policy);
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
