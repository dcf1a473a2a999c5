/** The door to drivers of existing servers: which servers can be adopted, and by which driver. */
import { refuse } from "../options/checks.ts";
import type { ServeSettings } from "../options/serve.ts";
import { AdoptedBunDriver, type BunNativeServer, isBunServer, whenStopped } from "./bun/adopt.ts";
import { AdoptedDenoDriver, type DenoNativeServer, isDenoServer } from "./deno/adopt.ts";
import type { Driver } from "../server/driver.ts";
import { adoptNode, isNodeServer, type NodeNativeServer } from "./node/adopt.ts";

/**
 * A server that somebody else made: of `node:http`, `node:https`, `node:http2`, `node:net` or
 * `node:tls`, what `Deno.serve` returns, or what `Bun.serve` returns.
 */
export type NativeServer = NodeNativeServer | DenoNativeServer | BunNativeServer;

/** Whether a value looks like a {@linkcode NativeServer}. */
export function isNativeServer(value: unknown): value is NativeServer {
  return isNodeServer(value) || isDenoServer(value) || isBunServer(value);
}

/** Throws a TypeError unless `native` is a {@linkcode NativeServer}. */
export function checkNativeServer(native: unknown): asserts native is NativeServer {
  if (isNativeServer(native)) return;
  refuse("adopt as 'native'", "a server of Node's modules, of Deno.serve or of Bun.serve", native);
}

/** The driver of an existing server. */
export interface AdoptedDriver {
  readonly driver: Driver;
  /** Leaves the server to its owner, who goes on with it. */
  release(): void;
}

/** Makes the driver of an existing server. */
export function driverOf(
  native: NativeServer,
  onConnState: ServeSettings["onConnState"],
): AdoptedDriver {
  if (isNodeServer(native)) {
    const driver = adoptNode(native, onConnState);
    return { driver, release: () => driver.release() };
  }
  if (onConnState !== undefined) {
    throw new TypeError(
      "Cannot adopt as 'onConnState' must be absent for a server that does not show its " +
        "connections, as those of Deno.serve and Bun.serve do not",
    );
  }
  const driver = isDenoServer(native)
    ? new AdoptedDenoDriver(native)
    : new AdoptedBunDriver(native);
  // There are no listeners of ours on such a server.
  return { driver, release() {} };
}

/** Calls a function when the server has closed, before those hear of it who listen already. */
export function whenClosed(native: NativeServer, then: () => void): void {
  if (isNodeServer(native)) native.prependOnceListener("close", then);
  else if (isDenoServer(native)) native.finished.then(then, then);
  else whenStopped(native, then);
}

/** Calls a function whenever a server of Node's modules has begun to listen, with what closes it. */
export function whenListening(
  native: NativeServer,
  then: (close: () => void) => void,
): { cancel(): void } {
  if (!isNodeServer(native)) return { cancel() {} };
  const onListening = () => then(() => void native.close());
  native.on("listening", onListening);
  return { cancel: () => void native.off("listening", onListening) };
}
