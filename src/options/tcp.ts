import type { Addr } from "../core/addr.ts";
import { attempt } from "../core/attempt.ts";
import type { ConnInfo, ConnState } from "../core/conn.ts";
import type { DrainNotice } from "../core/drain_notice.ts";
import { reportError } from "../core/report_error.ts";
import { checkType, refuse } from "./checks.ts";
import type { ServeOptions } from "./serve.ts";
import { checkServer, type ServerOptions, type ServerSettings, serverSettings } from "./server.ts";

/**
 * A connection of {@linkcode serveTcp}, as its handler has it.
 *
 * What a shutdown does with it is decided by its state. It is `"new"` until the first byte comes or
 * the handler sets a state; each byte that comes makes it `"active"`; only the handler makes it
 * `"idle"`, and it counts as idle once all that was written has been sent. So a request that has
 * been received, if only in part, is waited for, and so is the answer to it.
 *
 * @example
 * ```ts
 * import { serveTcp, type TcpConn } from "@x/graceful";
 *
 * // Sends back what comes, and is idle in between.
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
   * What the client sends. It ends when the client ends its side, and when the server closes the
   * connection as an idle one; it fails when the connection is cut: by the client, or by
   * `server.close()`. Cancelled, which is what leaving a `for await` loop does, it drops what comes,
   * and the handler can still write.
   *
   * At most 64 KiB and a chunk are read ahead of the handler. More than that stays with the client.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /**
   * What the client gets. A write is done when the system has taken it, and so no sooner than the
   * client makes room. It fails when the connection has ended: a handler that does not wait for one
   * has to catch that, or it is an unhandled rejection. Closing it ends this side alone: the client
   * may go on sending. Aborting it cuts the connection.
   */
  readonly writable: WritableStream<Uint8Array>;
  /** The client's address. */
  readonly remoteAddr: Addr;
  /**
   * Aborts when the server starts to drain: end what would go on for ever, or say goodbye. What is
   * written in its listeners is sent before the connection is closed as an idle one. The signal belongs
   * to this connection, and its listeners are forgotten when the connection has ended. A listener that
   * throws is reported on the console and stops nothing.
   */
  readonly draining: AbortSignal;
  /**
   * Says what the connection is doing: `"active"` while it is owed something, `"idle"` between two
   * requests. During a shutdown an idle one is closed at once, or at the end of `idleGrace`. It needs
   * no `this`, and does nothing once the connection is gone.
   *
   * @throws {TypeError} If it is neither of the two.
   */
  readonly setState: (state: "active" | "idle") => void;
}

/**
 * Speaks a protocol over one connection, which is closed, behind all that was written, when the
 * promise that it returns settles.
 *
 * What it throws, or rejects with, is given to {@linkcode TcpOptions.onError}, unless it is no more
 * than that the connection has ended: the error that its streams failed with.
 */
export type TcpHandler = (conn: TcpConn) => void | Promise<void>;

/** Options of {@linkcode serveTcp}. */
export interface TcpOptions extends ServerOptions {
  /**
   * Called with what a handler threw, and with errors of a listener that cannot accept. The default writes
   * the error to the console.
   */
  onError?: (error: unknown) => unknown;
}

/** What the TCP driver needs of checked {@linkcode TcpOptions}. */
export interface TcpSettings extends ServerSettings {
  readonly onError: (error: unknown) => void;
  readonly onConnState: (state: ConnState, conn: ConnInfo) => void;
}

/** Throws unless the handler is a function, and the options are ones that `serveTcp` takes. */
export function checkServeTcp(
  handler: unknown,
  options: TcpOptions & Pick<ServeOptions, "cert" | "key">,
): void {
  for (const name of ["cert", "key"] as const) {
    // Left out of account they would have secrets go over the wire as they are.
    if (options[name] !== undefined) {
      throw new TypeError(`Cannot serve as '${name}' must be absent: serveTcp has no TLS`);
    }
  }
  if (typeof handler !== "function") refuse("serve as 'handler'", "a function", handler);
  const as = (name: string) => `serve as '${name}'`;
  checkServer(as, options);
  checkType(as("onError"), options.onError, "function");
}

/** Returns checked options with their defaults. `socket` is {@linkcode ServerSettings.socket}. */
export function tcpSettings(
  options: TcpOptions,
  drainNotice: DrainNotice,
  socket: Addr | undefined,
): TcpSettings {
  const { onError = reportError, onConnState = () => {} } = options;
  return {
    ...serverSettings(options, drainNotice, socket),
    onError(error) {
      attempt(() => onError(error));
    },
    onConnState(state, conn) {
      attempt(() => onConnState(state, conn));
    },
  };
}
