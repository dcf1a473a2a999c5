import { printable } from "../core/printable.ts";
import process from "node:process";
import type { Engine, Handler, ServeSettings } from "../options/serve.ts";
import type { TcpHandler, TcpSettings } from "../options/tcp.ts";
import { internals } from "./deno/internals.ts";
import type { StartedDriver } from "../server/driver.ts";
import { CannotReplaceListenerError } from "./linux/placeholder_listener.ts";

/** Starts a server on one engine: resolves when it listens, throws or rejects with nothing left open. */
export type StartDriver = (
  handler: Handler,
  settings: ServeSettings,
) => StartedDriver | Promise<StartedDriver>;

/** How each engine of this runtime is started, the fastest that keeps every promise first. */
function engines(): Partial<Record<Engine, () => Promise<StartDriver>>> {
  const node = async () => (await import("./node/serve.ts")).startNode;
  if ("deno" in process.versions) {
    const onServe = async () => (await import("./deno/serve_driver.ts")).startDenoServe;
    if (internals.connectionServing() === undefined) return { "deno-serve": onServe, node };
    return {
      deno: async () => (await import("./deno/driver.ts")).startDeno,
      "deno-serve": onServe,
      node,
    };
  }
  if ("bun" in process.versions) {
    return { bun: async () => (await import("./bun/driver.ts")).startBun, node };
  }
  return { node };
}

/** Starts a server on the engine asked for, or on the best one there is. */
export async function startDriver(
  asked: "auto" | Engine,
  handler: Handler,
  settings: ServeSettings,
): Promise<StartedDriver> {
  const available = engines();
  // The cast: the keys of a record of engines are engines.
  const names = Object.keys(available) as Engine[];
  const engine = asked === "auto" ? names.find((name) => canServe(name, settings)) : asked;
  // A Deno on which connections cannot be served one by one has the next best under this name.
  const load = engine && (available[engine] ?? (engine === "deno" && available["deno-serve"]));
  if (!load) {
    throw new TypeError(
      `Cannot serve as 'engine' must be one of this runtime (${
        ["auto", ...names].join(", ")
      }): current value is "${printable(asked)}"`,
    );
  }
  if (!canServe(engine, settings)) refuseEngine(engine, settings);
  const start = await load();
  try {
    return await start(handler, settings);
  } catch (error) {
    if (asked !== "auto" || !(error instanceof CannotReplaceListenerError)) throw error;
    return await startDriver("node", handler, settings);
  }
}

/** Starts a server of a protocol that is not HTTP, which runs on `node:net` on every runtime. */
export async function startTcpDriver(
  handler: TcpHandler,
  settings: TcpSettings,
): Promise<StartedDriver> {
  const { startTcp } = await import("./node/tcp.ts");
  return await startTcp(handler, settings);
}

/** Whether an engine has what these settings ask for. */
function canServe(engine: Engine, { onConnState, websocket }: ServeSettings): boolean {
  if (websocket !== undefined && engine !== "bun") return false;
  return onConnState === undefined || engine === "node" || engine === "deno";
}

function refuseEngine(engine: Engine, { websocket }: ServeSettings): never {
  const rule = engine !== "bun" && websocket !== undefined
    ? `'websocket' must be absent on every engine but "bun"`
    : `'onConnState' must be absent with an engine that does not show its connections`;
  throw new TypeError(`Cannot serve as ${rule}: current engine is "${engine}"`);
}
