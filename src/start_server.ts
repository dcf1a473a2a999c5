import { reportError } from "./core/report_error.ts";
import type { Addr } from "./core/addr.ts";
import { DrainNotice } from "./core/drain_notice.ts";
import type { ServerOptions } from "./options/server.ts";
import { PendingWork } from "./core/pending_work.ts";
import type { StartedDriver } from "./server/driver.ts";
import { DrivenServer, type Server } from "./server/server.ts";
import { listenerFor } from "./listener/listen.ts";
import type { SharedListener } from "./listener/shared_listener.ts";

/** The arguments of starting a driver, beside the options of its kind of server. */
export interface StartContext {
  readonly backlog: number | undefined;
  readonly drainNotice: DrainNotice;
  readonly pendingWork: PendingWork;
  /** The socket's address, if the driver is to accept on one that it is given later. */
  readonly socket: Addr | undefined;
}

/** Starts a server once its options are checked: resolves when it listens, with nothing left open if not. */
export async function startServer(
  options: ServerOptions,
  startDriver: (context: StartContext) => Promise<StartedDriver>,
): Promise<Server> {
  options.signal?.throwIfAborted();
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

/** Starts a server that accepts on the listener, or without one listens for itself. */
async function start(
  listener: SharedListener | undefined,
  backlog: number | undefined,
  startDriver: (context: StartContext) => Promise<StartedDriver>,
): Promise<DrivenServer> {
  const scope = { drainNotice: new DrainNotice(), pendingWork: new PendingWork() };
  let server;
  try {
    const driver = await startDriver({
      backlog: backlog ?? listener?.backlog,
      ...scope,
      socket: listener?.addr,
    });
    server = new DrivenServer(driver, scope, listener);
    await listener?.giveTo(driver);
    return server;
  } catch (error) {
    if (server === undefined) listener?.close();
    else await server.close();
    throw error;
  }
}

/** Closes the server when the signal aborts, which it may have done while the server started. */
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
