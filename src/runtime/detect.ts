import process from "node:process";
import type { Handler, ServeSettings } from "../options.ts";
import type { Driver, Engine, StartDriver } from "./driver.ts";

/** How each engine of this runtime is started, the fastest that keeps every promise first. */
function engines(): Partial<Record<Engine, () => Promise<StartDriver>>> {
  const node = async () => (await import("./node.ts")).startNode;
  if ("deno" in process.versions) {
    return {
      deno: async () => (await import("./deno.ts")).startDeno,
      "deno-serve": async () => (await import("./deno_serve.ts")).startDenoServe,
      node,
    };
  }
  if ("bun" in process.versions) {
    return { bun: async () => (await import("./bun.ts")).startBun, node };
  }
  return { node };
}

/** Starts a server on the engine asked for, or on the best one there is. */
export async function startDriver(
  engine: "auto" | Engine,
  handler: Handler,
  settings: ServeSettings,
): Promise<Driver> {
  const available = engines();
  // The cast: the keys of a record of engines are engines.
  const names = Object.keys(available) as Engine[];
  const chosen = engine === "auto" ? names.find((name) => canKeep(name, settings)) : engine;
  const load = chosen && available[chosen];
  if (load === undefined) {
    throw new TypeError(
      `Cannot serve as 'engine' must be one of this runtime (${
        ["auto", ...names].join(", ")
      }): current value is "${engine}"`,
    );
  }
  if (settings.websocket !== undefined && chosen !== "bun") {
    throw new TypeError(
      `Cannot serve as 'websocket' must be absent on every engine but "bun": current value is ${settings.websocket}, the engine "${chosen}"`,
    );
  }
  const start = await load();
  return await start(handler, settings);
}

/** Whether `auto` may choose an engine for these settings. */
function canKeep(engine: Engine, settings: ServeSettings): boolean {
  if (engine === "bun") return settings.onConnState === undefined;
  return true;
}
