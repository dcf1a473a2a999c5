import { ofProcess } from "./core/process_state.ts";
import { checkType } from "./options/checks.ts";
import { reportError } from "./core/report_error.ts";
import type { ConnInfo, ConnState } from "./core/conn.ts";
import {
  checkNativeServer,
  driverOf,
  type NativeServer,
  whenClosed,
  whenListening,
} from "./runtime/native_servers.ts";
import { ServerClosedError } from "./core/errors.ts";
import { DrivenServer, type Server } from "./server/server.ts";

/** Options of {@linkcode adopt}. */
export interface AdoptOptions {
  /**
   * Called when a connection enters a state, as Go's `Server.ConnState` is. Only for the servers of
   * Node's own modules.
   */
  onConnState?: (state: ConnState, conn: ConnInfo) => void;
}

/** The servers that are adopted. Two tables of the same connections would each miss what the other ends. */
const adopted = () => ofProcess(newAdopted);
const newAdopted = () => new WeakMap<NativeServer, Server>();

/**
 * Brings a server that exists, so that it shuts down as those of {@linkcode serve} do: of `node:http`
 * or `node:https` (and so of Express, Fastify, Koa …), of `node:http2`, `node:net` or `node:tls`, or
 * what `Deno.serve` or `Bun.serve` has returned. No method of it is replaced. Before or after it
 * listens. Called again for the same server it returns the same.
 *
 * Connections that are open already are found on Node and Deno; on Bun they are known from their
 * next request on. A connection of a server of `node:net` is active from its first byte to its end: what
 * it is about only its handler knows, which can end it when `server.draining` aborts.
 *
 * What Deno and Bun return shows less. Its responses do not say `Connection: close`, in the lame duck of
 * `graceful` neither; its own graceful stop decides what becomes of each connection, without
 * `idleGrace`. For one of Deno `connections()` is empty, and `close()` rejects if requests are in flight
 * that do not end by themselves. {@linkcode serve} does all of that.
 *
 * Of a server of `Deno.serve` three more things hold. Do not abort the `signal` that it was given once a
 * shutdown has begun: Deno throws where nothing can catch it, and the process ends. Its `url` says `http:`
 * with TLS, too, for Deno does not tell. A request that claims a body larger than the memory of the machine
 * ends the process when its handler reads the body; {@linkcode serve} sees to that.
 *
 * If its owner closes it, it has finished when the last of its connections is gone. A server of Bun tells
 * of a call of its `stop()`, and not of the end of a `using` declaration. One of Node's modules can then
 * listen again, and once it does it can be adopted anew. After a
 * shutdown it cannot listen, as Go's cannot: it is closed again, and the console says so.
 *
 * @throws {TypeError} If it is not such a server, or an option has the wrong type.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { adopt } from "@x/graceful";
 *
 * const native = createServer((_request, response) => response.end("hello"));
 * const server = adopt(native.listen(0));
 * await server.shutdown({ timeout: 15_000 });
 * ```
 */
export function adopt(native: NativeServer, options: AdoptOptions = {}): Server {
  checkNativeServer(native);
  checkType("adopt as 'onConnState'", options.onConnState, "function");
  return adopted().get(native) ?? adoptFirst(native, options);
}

function adoptFirst(native: NativeServer, { onConnState }: AdoptOptions): Server {
  const { driver, release } = driverOf(native, onConnState);
  const server = new DrivenServer(driver);
  adopted().set(native, server);
  let isLeft = false;
  const listening = whenListening(native, (close) => {
    if (isLeft) {
      listening.cancel();
      adopted().delete(native);
    } else if (server.state !== "serving") {
      close();
      reportError(new ServerClosedError("Cannot listen as the server has been shut down"));
    }
  });
  whenClosed(native, () => {
    if (server.state !== "serving") return;
    server.shutdown().catch(reportError);
    release();
    isLeft = true;
  });
  return server;
}
