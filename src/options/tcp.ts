import type { Addr } from "../core/addr.ts";
import { attempt } from "../core/attempt.ts";
import type { ConnInfo, ConnState } from "../core/conn.ts";
import type { DrainNotice } from "../core/drain_notice.ts";
import type { PeerCertificate } from "../core/peer_certificate.ts";
import { reportError } from "../core/report_error.ts";
import { checkHandler, checkType } from "./checks.ts";
import { TCP_REPLACEMENTS } from "./foreign_names.ts";
import { checkNames, type OptionNames } from "./names.ts";
import {
  checkServer,
  SERVER_NAMES,
  type ServerOptions,
  type ServerSettings,
  serverSettings,
} from "./server.ts";
import { checkTls, TLS_NAMES, type TlsOptions, type TlsSettings } from "./tls.ts";

/**
 * A connection that {@linkcode serveTcp} passes to its handler.
 *
 * The state of the connection decides what a shutdown does with the connection. The state is `"new"` until
 * the first byte arrives or the handler sets a state. Each byte that arrives makes the connection
 * `"active"`. Only the handler makes it `"idle"`, and the connection counts as idle once everything written
 * has been sent. A shutdown therefore waits for a request that has been received, even in part, and for the
 * response.
 *
 * @example
 * ```ts
 * import { serveTcp, type TcpConn } from "@x/graceful";
 *
 * // Sends back what arrives, and is idle in between.
 * async function echo({ readable, writable, setState }: TcpConn): Promise<void> {
 *   const writer = writable.getWriter();
 *   for await (const chunk of readable) {
 *     await writer.write(chunk);
 *     setState("idle");
 *   }
 * }
 *
 * const server = await serveTcp(echo, { port: 0, hostname: "127.0.0.1" });
 * await server.shutdown({ timeout: 15_000 });
 * ```
 */
export interface TcpConn {
  /**
   * The stream of the data that the client sends. The stream ends when the client ends its side, and when
   * the server closes the connection as idle. The stream fails when the client or `server.close()` cuts the
   * connection. After the stream is canceled, for example by leaving a `for await` loop, received data is
   * discarded, and the handler can still write.
   *
   * At most 64 KiB and one chunk are read ahead of the handler. All further data stays with the client.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /**
   * The stream of the data to send to the client. A write resolves when the system has taken the data,
   * which happens only when the client makes room for the data. A write fails when the connection has
   * ended: a handler that does not await a write must catch the error, or the error becomes an unhandled
   * rejection. Closing the stream ends only this side of the connection: the client may go on sending.
   * Aborting the stream cuts the connection.
   */
  readonly writable: WritableStream<Uint8Array>;
  /** The client's address. */
  readonly remoteAddr: Addr;
  /**
   * The certificate of the client. Undefined without `requestCert`, if the client has sent none, or once the
   * connection has ended.
   */
  readonly peerCertificate: PeerCertificate | undefined;
  /** The protocol that the client has chosen by ALPN, or undefined if it has chosen none. */
  readonly alpnProtocol: string | undefined;
  /**
   * A signal that aborts when the server starts to drain. A handler should then end work that would
   * otherwise never end, or send a last message. Data that a listener of the signal writes is sent before
   * the connection is closed as idle. The signal belongs to this connection, and its listeners are dropped
   * when the connection has ended. An error that a listener throws is reported on the console, and stops
   * nothing.
   */
  readonly draining: AbortSignal;
  /**
   * Sets the state of the connection: `"active"` while the client is owed a response, `"idle"` between two
   * requests. During a shutdown an idle connection is closed at once, or at the end of `idleGrace`. The
   * function needs no `this`, and does nothing once the connection has ended.
   *
   * @throws {TypeError} If the state is neither of the two.
   */
  readonly setState: (state: "active" | "idle") => void;
}

/**
 * A function that speaks a protocol over one connection. When the promise that the function returns
 * settles, the connection is closed, after everything written has been sent.
 *
 * If the function throws or rejects, {@linkcode TcpOptions.onError} gets the error. An error with which the
 * streams failed because the connection has ended is not passed to `onError`.
 */
export type TcpHandler = (conn: TcpConn) => void | Promise<void>;

/** Options of {@linkcode serveTcp}. */
export interface TcpOptions extends ServerOptions, TlsOptions {
  /** The names of the protocols that clients can choose from by ALPN. This option needs `cert`. */
  alpnProtocols?: readonly string[];
  /**
   * A function that is called with what a handler threw, and with the error of a listener that cannot
   * accept. The default function writes the error to the console.
   */
  onError?: (error: unknown) => unknown;
}

/** The settings that the TCP driver gets from checked {@linkcode TcpOptions}. */
export interface TcpSettings extends ServerSettings {
  readonly tls: TlsSettings | undefined;
  readonly onError: (error: unknown) => void;
  readonly onConnState: (state: ConnState, conn: ConnInfo) => void;
}

const NAMES: OptionNames<TcpOptions> = {
  ...SERVER_NAMES,
  ...TLS_NAMES,
  alpnProtocols: true,
  onError: true,
};

/** Throws unless the handler is a function and the options are valid for `serveTcp`. */
export function checkServeTcp(handler: unknown, options: TcpOptions): void {
  checkHandler("serveTcp(handler, { port })", handler);
  checkNames("serve", options, NAMES, TCP_REPLACEMENTS);
  const as = (name: string) => `serve as '${name}'`;
  checkServer(as, options);
  checkTls(as, options);
  checkType(as("onError"), options.onError, "function");
}

/** Returns the settings for checked options, with all defaults. `socket` becomes the setting of that name. */
export function tcpSettings(
  options: TcpOptions,
  drainNotice: DrainNotice,
  socket: Addr | undefined,
  tls?: TlsSettings,
): TcpSettings {
  const { onError = reportError, onConnState = () => {} } = options;
  return {
    ...serverSettings(options, drainNotice, socket),
    tls,
    onError(error) {
      attempt(() => onError(error));
    },
    onConnState(state, conn) {
      attempt(() => onConnState(state, conn));
    },
  };
}
