import { ofProcess } from "./core/process_state.ts";
import { checkType } from "./options/checks.ts";
import { checkNames, type OptionNames } from "./options/names.ts";
import { reportError } from "./core/report_error.ts";
import type { ConnInfo, ConnState } from "./core/conn.ts";
import {
  checkNativeServer,
  driverOf,
  type NativeServer,
  whenClosed,
  whenListening,
} from "./runtime/native_servers.ts";
import { isHeldElsewhere } from "./listener/shared_listener.ts";
import { channels } from "./runtime/channels.ts";
import { ServerClosedError } from "./core/errors.ts";
import { DrivenServer } from "./server/driven_server.ts";
import type { Server } from "./server/server.ts";
import { checkNodeVersion } from "./runtime/host/node_version.ts";

/** Options of {@linkcode adopt}. */
export interface AdoptOptions {
  /**
   * A function that is called when a connection enters a state, like Go's `Server.ConnState`. Only servers
   * of Node's own modules support this option.
   */
  onConnState?: (state: ConnState, conn: ConnInfo) => void;
}

const NAMES: OptionNames<AdoptOptions> = { onConnState: true };

/**
 * The servers that have been adopted, each with its only {@linkcode Server}. With two of them, each
 * would miss the connections that the other one closes.
 */
const adopted = () => ofProcess(newAdopted);
const newAdopted = () => new WeakMap<NativeServer, Server>();

/**
 * Adopts an existing server, so that it shuts down like one that {@linkcode serve} started. The server is
 * one of `node:http` or `node:https` (and so of Express, Fastify, Koa …), of `node:http2`, `node:net` or
 * `node:tls`, or what `Deno.serve` or `Bun.serve` has returned. It may be adopted before or after it
 * listens. No method of the server is replaced, except `stop` and `upgrade` of `Bun.serve`. Adopting a
 * server twice returns the same {@linkcode Server}.
 *
 * On Node and Deno, connections that are already open are found at once; on Bun each is found with its next
 * request. A connection of a `node:net` server is active from its first byte to its end: only the handler
 * knows what the bytes mean. The handler can end the connection when `server.draining` aborts.
 *
 * A server of `Deno.serve` or `Bun.serve` shows less than others. Its responses do not say `Connection: close`, not
 * even during the lame-duck phase of `graceful`. The runtime's own graceful stop decides how each connection ends. With
 * `Deno.serve` there is no `idleGrace`, `connections()` is empty, and `close()` rejects if requests are in flight that
 * do not end by themselves. {@linkcode serve} supports all of this with its default engine.
 *
 * At a shutdown, WebSockets of the package `ws` are sent a close frame, as {@linkcode ShutdownOptions} says.
 * Deno ends the WebSockets of `Deno.serve` itself, with the code 1001. All other WebSockets, including those of
 * `Bun.serve`, can be closed only by their owner: in a function of {@linkcode Server.onShutdown}.
 *
 * Three more things apply to `Deno.serve`. Once a shutdown has begun, do not abort the `signal` that the
 * server was given: Deno then throws an error that nothing can catch, and the process ends. The `url` says
 * `http:` even with TLS, which Deno does not report. A request that claims a body larger than the memory
 * of the machine ends the process when its handler reads the body; {@linkcode serve} prevents that.
 *
 * If the owner closes the server, {@linkcode Server.finished} resolves when its last connection is gone. On
 * Bun a call of `stop()` is noticed, but not the end of a `using` declaration. A server of Node's modules
 * can listen again after its owner has closed it, and can then be adopted again. After a shutdown a server
 * cannot listen again, as in Go: a server that tries is closed at once, and the console says so.
 *
 * @throws {TypeError} If `native` is not such a server, or an option has the wrong type.
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
  checkNodeVersion();
  checkNativeServer(native);
  checkNames("adopt", options, NAMES);
  checkType("adopt as 'onConnState'", options.onConnState, "function");
  return adopted().get(native) ?? adoptFirst(native, options);
}

function adoptFirst(native: NativeServer, { onConnState }: AdoptOptions): Server {
  const { driver, release } = driverOf(native, onConnState);
  const server = new DrivenServer(driver, { channels: channels(), isShared: isHeldElsewhere });
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
