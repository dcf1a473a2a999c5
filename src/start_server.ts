import { reportError } from "./core/report_error.ts";
import { type Addr, shownAddr } from "./core/addr.ts";
import { DrainNotice } from "./core/drain_notice.ts";
import type { ServerOptions } from "./options/server.ts";
import type { TlsOptions, TlsSettings } from "./options/tls.ts";
import { PendingWork } from "./core/pending_work.ts";
import type { Driver } from "./server/driver.ts";
import { DrivenServer } from "./server/driven_server.ts";
import type { Server } from "./server/server.ts";
import { channels } from "./runtime/channels.ts";
import process from "node:process";
import { predecessor, supervisor, unclaimedAddresses } from "./listener/inheritance.ts";
import { listenerFor } from "./listener/listen.ts";
import type { SharedListener } from "./listener/shared_listener.ts";
import { untilReleased } from "./runtime/linux/held_ports.ts";

/** The values that a driver is started with, in addition to the options of its kind of server. */
export interface StartContext {
  readonly backlog: number | undefined;
  readonly drainNotice: DrainNotice;
  readonly pendingWork: PendingWork;
  /**
   * The address of the socket that the driver will be given to accept on. Undefined if the driver opens its
   * own listening socket.
   */
  readonly socket: Addr | undefined;
}

/**
 * Returns the settings of TLS for checked options; undefined for a server without TLS. The module that reads
 * certificates is loaded for the first server with TLS, because loading `node:crypto` is expensive.
 *
 * @throws {TypeError} If a certificate or a key cannot be read, or they do not belong together.
 */
export async function readTls(
  { cert, key, ...options }: TlsOptions & { alpnProtocols?: readonly string[] },
): Promise<TlsSettings | undefined> {
  if (cert === undefined || key === undefined) return undefined;
  const { tlsSettings } = await import("./options/certificate.ts");
  return tlsSettings((name) => `serve as '${name}'`, { ...options, cert, key });
}

/**
 * Starts a server whose options have been checked. Resolves when the server listens. If the start fails,
 * nothing is left open.
 */
export async function startServer(
  options: ServerOptions,
  startDriver: (context: StartContext) => Promise<Driver>,
): Promise<Server> {
  options.signal?.throwIfAborted();
  await untilReleased(options.port);
  const listener = await listenerFor(options);
  const server = await start(listener, options.backlog, startDriver);
  if (options.signal !== undefined) await closeWith(options.signal, server);
  try {
    options.onListen?.(server.addr);
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

/** Starts a server that accepts on `listener`, or, without a listener, on a listening socket of its own. */
async function start(
  listener: SharedListener | undefined,
  backlog: number | undefined,
  startDriver: (context: StartContext) => Promise<Driver>,
): Promise<DrivenServer> {
  const scope = { drainNotice: new DrainNotice(), pendingWork: new PendingWork() };
  let server;
  try {
    const driver = await startDriver({
      backlog: backlog ?? listener?.backlog,
      ...scope,
      socket: listener?.addr,
    });
    server = new DrivenServer(driver, { scope, listener, channels: channels() });
    await listener?.giveTo(driver);
    return server;
  } catch (error) {
    if (server === undefined) listener?.close();
    else await server.close();
    throw withStarter(error);
  }
}

/**
 * Returns the error of a server that could not start. If the address is in use, and may be so by the process that has
 * started this process, the error says what to do.
 */
function withStarter(error: unknown): unknown {
  if (!(error instanceof Error && "code" in error) || error.code !== "EADDRINUSE") return error;
  const hint = starterHint();
  if (hint === undefined) return error;
  const message = `${error.message}. ${hint}`;
  return Object.assign(new Error(message, { cause: error }), { code: error.code });
}

function starterHint(): string | undefined {
  const handover = predecessor();
  if (handover !== undefined && process.ppid === handover.pid) {
    return `The predecessor, process ${handover.pid}, may still listen there, and has not handed over a listener for ` +
      "this address: start its server with 'handoff', and ask for the same address";
  }
  const left = supervisor() === undefined ? [] : unclaimedAddresses();
  return left.length === 0
    ? undefined
    : `The supervisor, process ${supervisor()!.pid}, listens at ${
      left.map(shownAddr).join(", ")
    }: ask for the same hostname and port`;
}

/** Closes the server when the signal aborts, or now if the signal has aborted while the server started. */
async function closeWith(signal: AbortSignal, server: Server): Promise<void> {
  if (signal.aborted) {
    await server.close();
    throw signal.reason;
  }
  const close = () => {
    server.close().catch(reportError);
  };
  signal.addEventListener("abort", close, { once: true });
  server.finished.then(() => signal.removeEventListener("abort", close));
}
