import { type Conn, type ConnInfo, ConnTable, type PollPolicy, type Tally } from "../conn.ts";

/** A connection that has to do something when the drain starts. */
interface DrainableConn extends Conn {
  startDrain(onChange: () => void): void;
}

/** What the drivers have in common whose engine shows them its connections one by one. */
export abstract class TableDriver<C extends DrainableConn> {
  protected readonly conns: ConnTable<C> = new ConnTable();
  /** Whether each response is the last of its connection. */
  protected endsConnections = false;
  /** What to call when a connection may have become idle: undefined until the drain starts. */
  protected onChange: (() => void) | undefined;

  get tally(): Tally {
    return this.conns.tally;
  }

  startLameDuck(): void {
    this.endsConnections = true;
  }

  startDrain(onChange: () => void): void {
    this.endsConnections = true;
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
