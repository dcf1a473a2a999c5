import { printable } from "../core/printable.ts";
import process from "node:process";
import type { Engine, Handler, ServeSettings } from "../options/serve.ts";
import type { TcpHandler, TcpSettings } from "../options/tcp.ts";
import type { TlsSettings } from "../options/tls.ts";
import { bunLimitsObstacle } from "./bun/limits_obstacle.ts";
import { internals } from "./deno/internals.ts";
import { denoTlsObstacle } from "./deno/tls_obstacle.ts";
import type { Driver } from "../server/driver.ts";
import { CannotReplaceListenerError } from "./linux/placeholder_listener.ts";

/**
 * A function that starts a server on one engine. The result is available when the server listens. If the
 * function throws or rejects, nothing is left open.
 */
export type StartDriver = (
  handler: Handler,
  settings: ServeSettings,
) => Driver | Promise<Driver>;

/**
 * Returns a loader for each engine of the current runtime, in order of preference: the fastest engine that
 * keeps every promise of this package comes first.
 */
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

/**
 * Starts a server on the requested engine, or with "auto" on the best engine that the runtime has for these
 * settings.
 *
 * @throws {TypeError} If the runtime has no such engine, or the engine does not support the settings.
 */
export async function startDriver(
  asked: "auto" | Engine,
  handler: Handler,
  settings: ServeSettings,
): Promise<Driver> {
  const available = engines();
  // The cast: the keys of a record of engines are engines.
  const names = Object.keys(available) as Engine[];
  const onlyOn = asked === "auto" ? onlyEngine(settings) : undefined;
  const engine = asked === "auto"
    ? names.find((name) => obstacleTo(name, settings) === undefined) ?? onlyOn?.engine ?? names[0]!
    : asked;
  // Some versions of Deno cannot serve HTTP on a single connection. On these versions "deno" means
  // "deno-serve".
  const load = available[engine] ?? (engine === "deno" && available["deno-serve"]);
  if (!load) {
    throw new TypeError(
      `Cannot serve as 'engine' must be one of this runtime (${
        ["auto", ...names].join(", ")
      }): current value is "${printable(asked)}"`,
    );
  }
  const obstacle = obstacleTo(engine, settings);
  if (obstacle !== undefined) {
    throw new TypeError(
      onlyOn === undefined
        ? `Cannot serve as ${obstacle}: current engine is "${engine}"`
        : `Cannot serve as ${obstacle}: the engine is "${engine}", because only this engine supports '${onlyOn.option}'`,
    );
  }
  try {
    const start = await load();
    return await start(handler, asked === "auto" ? suitable(engine, settings) : settings);
  } catch (error) {
    if (asked === "auto" && engine === "node") {
      explainChoice(error, obstacleTo(names[0]!, settings));
    }
    if (asked !== "auto" || !(error instanceof CannotReplaceListenerError)) throw error;
    return await startDriver("node", handler, suitable("node", settings));
  }
}

/**
 * Returns the settings for an engine that `"auto"` has chosen. On Deno the engine `"node"` then offers no
 * HTTP/2 by default: in Deno 2.9.5 a client that closes its session can bring the process down, with an
 * assertion of nghttp2 or a double free.
 */
function suitable(engine: Engine, settings: ServeSettings): ServeSettings {
  const { tls } = settings;
  if (engine !== "node" || !("deno" in process.versions) || tls === undefined) return settings;
  return { ...settings, tls: { ...tls, alpnProtocols: tls.alpnProtocols ?? ["http/1.1"] } };
}

/** Starts a server of a protocol other than HTTP. The server runs on `node:net` on every runtime. */
export async function startTcpDriver(
  handler: TcpHandler,
  settings: TcpSettings,
): Promise<Driver> {
  const { startTcp } = await import("./node/tcp.ts");
  return await startTcp(handler, settings);
}

/**
 * Returns an option that only one engine of this runtime supports, and that engine; undefined without such an
 * option.
 */
function onlyEngine(
  { websocket, native }: ServeSettings,
): { option: string; engine: Engine } | undefined {
  for (const { runtime, engine } of BLOCKS) {
    if (!(runtime in process.versions)) continue;
    if (Object.keys(native[runtime]).length > 0) return { option: runtime, engine };
  }
  return websocket !== undefined && "bun" in process.versions
    ? { option: "websocket", engine: "bun" }
    : undefined;
}

/**
 * Makes the error of a missing permission say why the engine "node" was chosen: it needs more permissions than the
 * other engines of Deno.
 */
function explainChoice(error: unknown, obstacle: string | undefined): void {
  if (obstacle === undefined || !(error instanceof Error) || error.name !== "NotCapable") return;
  error.message =
    `Cannot serve as ${obstacle}, or else the engine is "node", which needs --allow-env: allow either. ${error.message}`;
}

/** The engines that support the options of a runtime's own server. */
const BLOCKS = [{ runtime: "bun", engine: "bun" }, {
  runtime: "deno",
  engine: "deno-serve",
}] as const;

/** Returns why an engine does not support the settings; undefined if it does. */
function obstacleTo(engine: Engine, settings: ServeSettings): string | undefined {
  const { listen, onConnState, websocket, native, socket, limits, tls } = settings;
  if (websocket !== undefined && engine !== "bun") {
    return `'websocket' must be absent on every engine but "bun", whose own WebSockets it is for (see docs/websockets.md)`;
  }
  if (onConnState !== undefined && engine !== "node" && engine !== "deno") {
    return `'onConnState' must be absent with an engine that does not show its connections`;
  }
  // On other runtimes these options are ignored, so that one program can have options for all engines.
  for (const { runtime, engine: supporter } of BLOCKS) {
    if (
      runtime in process.versions && engine !== supporter && Object.keys(native[runtime]).length
    ) {
      return `'${runtime}' must be absent on every engine but "${supporter}"`;
    }
  }
  if (limits.asked !== undefined && engine === "deno-serve") {
    return `'${limits.asked}' must be absent with an engine that does not show its connections`;
  }
  if (engine === "bun" && limits.asked !== undefined) {
    const obstacle = bunLimitsObstacle(socket ?? listen, limits.asked);
    if (obstacle !== undefined) return obstacle;
  }
  if (engine === "bun" && native.bun["http3"] === true && socket !== undefined) {
    return `'bun.http3' must be absent where the listener is inherited or can be handed over`;
  }
  return tls && tlsObstacle(engine, tls);
}

/** Returns the rule that settings of TLS break on an engine, or undefined if the engine supports them. */
function tlsObstacle(engine: Engine, tls: TlsSettings): string | undefined {
  if (engine === "deno" || engine === "deno-serve") return denoTlsObstacle(engine, tls);
  return engine === "bun" && tls.ca !== undefined
    ? "'requestCert' must be absent, as Bun does not show certificates of clients"
    : undefined;
}
