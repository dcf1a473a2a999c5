import type { ConnInfo } from "../core/conn.ts";
import type { Addr } from "../core/addr.ts";
import type { PollPolicy, Tally } from "./conn_table.ts";
import type { Engine } from "../options/serve.ts";

/** The close code of a WebSocket at a drain: the server goes away (RFC 6455, 7.4.1). */
export const GOING_AWAY = 1001;

/**
 * What Go's `Shutdown` touches of a server, and no more: its listeners and its connections.
 *
 * Waiting, deadlines, hooks and reports are above it, once for all engines.
 */
export interface Driver {
  readonly engine: Engine;
  /** The address of the listener. For TCP port 0, with the port that the system chose. */
  readonly addr: Addr;
  /** The scheme of the server's URL. */
  readonly scheme: "http" | "https" | "tcp";
  /** The number of connections by how they have ended since {@linkcode Driver.startDrain}. */
  readonly tally: Tally;

  /**
   * Has each HTTP/1 response say `Connection: close` and end its connection from now on; new connections
   * are still accepted. Absent where the responses of the server are out of reach.
   */
  startLameDuck?(): void;

  /**
   * From now on ends of connections are counted, upgrades are refused, and `onChange` is called whenever
   * a connection may have become idle or has closed. Clients are told nothing yet: the listener that
   * they would come back to is about to close.
   */
  startDrain(onChange: () => void): void;

  /**
   * Returns how many connections wait in the accept queues of the listeners: the kernel has accepted
   * them, and the runtime has not. Undefined if that is not known. Never throws.
   */
  waitingToBeAccepted(): number | undefined;

  /**
   * Has the runtime accept the connections that wait, within a bound of time, and resolves in the turn
   * in which it has found none left, or in which `force` has aborted. Never rejects. The listeners are
   * closed in the same turn.
   */
  emptyAcceptQueue(force: AbortSignal): Promise<void>;

  /**
   * Refuses new connections, from the return of the call or as soon as the runtime can. With
   * `spareIdle` the idle ones must stay open. Throws or rejects with the first error of closing one.
   */
  closeListeners(spareIdle: boolean): void | Promise<void>;

  /**
   * To be called when the listeners are closed, or as good as closed. From now on each HTTP/1 response says
   * `Connection: close` and ends its connection, sessions of HTTP/2 are sent GOAWAY, and WebSockets are
   * told that the server goes away. Absent where the responses of the server are out of reach.
   */
  endConnections?(): void;

  /**
   * Closes the connections that are idle at `now` and reports whether the server is quiescent: no
   * connection is left to wait for. First called after {@linkcode Driver.endConnections}.
   */
  closeIdleConns(now: number, policy: PollPolicy): boolean;

  /** Ends every connection at once and resolves when they are gone. Works at any time. */
  closeAll(): Promise<void>;

  /** A snapshot. */
  connections(now: number): ConnInfo[];
}

/** The driver of a server that this package has started itself. */
export interface StartedDriver extends Driver {
  /**
   * Accepts on a listening socket that the driver has not opened itself, and owns it from now on.
   * Returns the descriptor, which may have become another number. To be called once, if the settings
   * name the address of a socket.
   */
  acceptOn(fd: number): number | Promise<number>;
}
