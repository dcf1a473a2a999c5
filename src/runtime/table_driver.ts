import { type Conn, type ConnInfo, ConnTable, type PollPolicy, type Tally } from "../conn.ts";

/** A connection that has to do something when the drain starts. */
interface DrainableConn extends Conn {
  startDrain(onChange: () => void): void;
}

/** What the drivers have in common whose engine shows them its connections one by one. */
export abstract class TableDriver<C extends DrainableConn> {
  protected readonly conns: ConnTable<C> = new ConnTable();
  /** What to call when a connection may have become idle: undefined until the drain starts. */
  protected onChange: (() => void) | undefined;

  get tally(): Tally {
    return this.conns.tally;
  }

  startDrain(onChange: () => void): void {
    this.onChange = onChange;
    this.conns.startDrain(onChange);
    for (const conn of this.conns) conn.startDrain(onChange);
  }

  closeIdle(now: number, policy: PollPolicy): boolean {
    return this.conns.closeIdle(now, policy);
  }

  closeAll(): Promise<void> {
    return this.conns.destroyAll();
  }

  connections(now: number): ConnInfo[] {
    return this.conns.snapshot(now);
  }
}
