/** Which servers that somebody else made can be driven, and by what. */
import { refuse } from "../checks.ts";
import type { ServeSettings } from "../options.ts";
import { AdoptedBunDriver, type BunNativeServer, isBunServer } from "./bun_adopt.ts";
import { AdoptedDenoDriver, type DenoNativeServer, isDenoServer } from "./deno_adopt.ts";
import type { Driver } from "./driver.ts";
import { adoptNode, isNodeServer, type NodeNativeServer } from "./node_adopt.ts";

/**
 * A server that somebody else made: of `node:http`, `node:https`, `node:http2`, `node:net` or
 * `node:tls`, what `Deno.serve` returns, or what `Bun.serve` returns.
 */
export type NativeServer = NodeNativeServer | DenoNativeServer | BunNativeServer;

/** Whether a value looks like a {@linkcode NativeServer}. */
export function isNativeServer(value: unknown): value is NativeServer {
  return isNodeServer(value) || isDenoServer(value) || isBunServer(value);
}

/** Refuses what is none. */
export function checkNativeServer(native: unknown): asserts native is NativeServer {
  if (isNativeServer(native)) return;
  refuse("adopt as 'native'", "a server of Node's modules, of Deno.serve or of Bun.serve", native);
}

/** Drives a server that somebody else made. */
export function driverOf(
  native: NativeServer,
  onConnState: ServeSettings["onConnState"],
): Driver {
  if (isNodeServer(native)) return adoptNode(native, onConnState);
  if (onConnState !== undefined) {
    throw new TypeError(
      "Cannot adopt as 'onConnState' must be absent for a server that does not show its " +
        "connections, as those of Deno.serve and Bun.serve do not",
    );
  }
  return isDenoServer(native) ? new AdoptedDenoDriver(native) : new AdoptedBunDriver(native);
}

/** Resolves when the owner of the server has closed it; never for one of Bun, which does not tell. */
export function closedByOwner(native: NativeServer): Promise<unknown> {
  if (isNodeServer(native)) return new Promise((resolve) => native.once("close", resolve));
  return isDenoServer(native) ? native.finished.catch(() => {}) : new Promise(() => {});
}
