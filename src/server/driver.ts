import type { ConnInfo } from "../core/conn.ts";
import type { Addr } from "../core/addr.ts";
import type { PollPolicy, Tally } from "./conn_table.ts";
import type { Refable } from "./native_server.ts";
import type { ClosingHandshake } from "../options/hijacked.ts";
import type { Engine } from "../options/serve.ts";
import type { ServedCertificates } from "./served_certificates.ts";

/**
 * A driver gives access to the parts of a server that Go's `Shutdown` uses: listeners and connections.
 *
 * Waiting, deadlines, hooks and reports are not part of the driver. `DrivenServer` implements them once
 * for all engines.
 */
export interface Driver {
  readonly engine: Engine;
  /** The address of the listener. For TCP port 0, the address has the port that the system chose. */
  readonly addr: Addr;
  /** The scheme of the server's URL. */
  readonly scheme: "http" | "https" | "tcp" | "tls";
  /** The runtime's own server; undefined if the engine has none. */
  readonly native: unknown;
  /** The handles that keep the process alive while the server listens. */
  readonly handles: readonly Refable[];
  /** The numbers of connections that have ended since {@linkcode Driver.startDrain}, by how they ended. */
  readonly tally: Tally;
  /**
   * Whether new clients are refused since {@linkcode Driver.startDrain}, although the listeners may stay open for long.
   * Absent if the listeners close soon.
   */
  readonly refusesNewConns?: boolean;
  /** The certificates of the server. Undefined if the server has no TLS, or its owner has set TLS up. */
  readonly certificates?: ServedCertificates | undefined;

  /**
   * Starts the lame-duck phase: from now on each HTTP/1 response says `Connection: close` and ends its
   * connection. New connections are still accepted. Absent if the driver cannot change the responses of
   * the server.
   */
  startLameDuck?(): void;

  /**
   * Starts the drain: from now on the driver counts the connections that end, refuses upgrades, and calls
   * `onChange` whenever a connection may have become idle or has closed. Clients are told nothing yet,
   * because they would reconnect to a listener that is about to close.
   *
   * With `isShared` another process accepts on the listener too, and gets the connections that are left in the
   * accept queue. Otherwise the driver may keep new connections out of the queue until the listener is closed. Undefined
   * if the listener is not one of this package.
   */
  startDrain(onChange: () => void, isShared?: boolean): void;

  /**
   * Returns the number of connections that the accept queues of the listeners hold or are about to get, and the runtime
   * has not accepted: 0 if there is none, and undefined if that is not known. Never throws.
   */
  waitingToBeAccepted(): number | undefined;

  /**
   * Makes the runtime accept the connections that wait in the accept queues, within a time limit. Resolves
   * in the turn of the event loop in which the queues are found empty or `force` has aborted, because the
   * caller closes the listeners in the same turn. Never rejects.
   */
  emptyAcceptQueue(force: AbortSignal): Promise<void>;

  /**
   * Closes the listeners: new connections are refused when the call returns, or as soon as the runtime can
   * refuse them. With `spareIdle`, idle connections must stay open. Throws or rejects with the first error
   * of closing a listener. Settles soon, and does not wait for connections: `close()` waits for it without
   * a deadline.
   */
  closeListeners(spareIdle: boolean): void | Promise<void>;

  /**
   * Starts to end the connections: from now on each HTTP/1 response says `Connection: close` and ends its
   * connection, and HTTP/2 sessions are sent GOAWAY. To be called when the listeners are closed or about to
   * close. Absent if the driver cannot change the responses of the server.
   */
  endConnections?(): void;

  /**
   * Starts the closing handshake of each open WebSocket, and from now on of each WebSocket that opens: sends
   * the close frame behind everything that the server has sent, and cuts the connection off if it has not
   * ended within the time of the handshake. To be called once, after {@linkcode Driver.closeListeners}, when
   * the application has had the time to send its last messages; or right before {@linkcode Driver.closeAll}.
   * Absent if the driver knows no WebSockets.
   */
  closeWebSockets?(handshake: ClosingHandshake): void;

  /**
   * Closes the connections that are idle at `now`. Returns whether no connection is left to wait for. The
   * first call comes after {@linkcode Driver.endConnections}.
   */
  closeIdleConns(now: number, policy: PollPolicy): boolean;

  /** Ends every connection at once, and resolves when all connections are gone. Works at any time. */
  closeAll(): Promise<void>;

  /** Returns a snapshot of the open connections at `now`. */
  connections(now: number): ConnInfo[];

  /**
   * Accepts on the listening socket with the descriptor `fd`, which the driver has not opened itself, and owns
   * the socket from now on. Returns the descriptor of the socket, whose number may have changed, and calls
   * `onMoved` whenever the number changes later. To be called once, if the driver was started with the address
   * of a socket. Absent if the driver always opens its own socket.
   */
  acceptOn?(fd: number, onMoved: (fd: number) => void): number | Promise<number>;
}
