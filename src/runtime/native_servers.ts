/** The servers created outside this package that it can drive, and the driver for each kind. */
import { refuse } from "../options/checks.ts";
import type { ServeSettings } from "../options/serve.ts";
import { AdoptedBunDriver, type BunNativeServer, isBunServer, whenStopped } from "./bun/adopt.ts";
import { AdoptedDenoDriver, type DenoNativeServer, isDenoServer } from "./deno/adopt.ts";
import type { Driver } from "../server/driver.ts";
import { adoptNode, isNodeServer, type NodeNativeServer } from "./node/adopt.ts";

/**
 * A server that was created outside this package: by `node:http`, `node:https`, `node:http2`, `node:net`,
 * `node:tls`, `Deno.serve` or `Bun.serve`.
 */
export type NativeServer = NodeNativeServer | DenoNativeServer | BunNativeServer;

/** Returns whether a value looks like a {@linkcode NativeServer}. */
export function isNativeServer(value: unknown): value is NativeServer {
  return isNodeServer(value) || isDenoServer(value) || isBunServer(value);
}

/** Throws a TypeError unless `native` is a {@linkcode NativeServer}. */
export function checkNativeServer(native: unknown): asserts native is NativeServer {
  if (isNativeServer(native)) return;
  refuse("adopt as 'native'", "a server of Node's modules, of Deno.serve or of Bun.serve", native);
}

/** A driver for a server that was created outside this package. */
export interface AdoptedDriver {
  readonly driver: Driver;
  /** Detaches the driver from the server, which its owner continues to use. */
  release(): void;
}

/**
 * Creates the driver for a server that was created outside this package.
 *
 * @throws {TypeError} If `onConnState` is given and the server does not show its connections.
 */
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
        "connections: servers of Deno.serve and Bun.serve do not",
    );
  }
  const driver = isDenoServer(native)
    ? new AdoptedDenoDriver(native)
    : new AdoptedBunDriver(native);
  // These drivers add no event listeners to the server, so there is nothing to remove.
  return { driver, release() {} };
}

/**
 * Calls a function when a server has closed. On a server of Node's modules the function is called
 * before the "close" listeners that are already registered.
 */
export function whenClosed(native: NativeServer, then: () => void): void {
  if (isNodeServer(native)) native.prependOnceListener("close", then);
  else if (isDenoServer(native)) native.finished.then(then, then);
  else whenStopped(native, then);
}

/**
 * Calls a function each time a server of Node's modules has started to listen, and passes it a function that
 * closes the server. Does nothing for other servers.
 */
export function whenListening(
  native: NativeServer,
  then: (close: () => void) => void,
): { cancel(): void } {
  if (!isNodeServer(native)) return { cancel() {} };
  const onListening = () => then(() => void native.close());
  native.on("listening", onListening);
  return { cancel: () => void native.off("listening", onListening) };
}
