/** The servers that are compared, and on what. */
import { type Runtime, RUNTIMES, versionOf } from "../support/runtimes.ts";
import { versionOfGo } from "./go.ts";

/** What runs a server. */
export type Platform = Runtime | "go";

/** One server of a comparison. */
export interface Contestant {
  readonly platform: Platform;
  /** The name in tables. */
  readonly name: string;
  /** The module of servers/ that starts the server. */
  readonly module: string;
  /** What the contestant is there for. The others are compared with the `bare` one. */
  readonly role: "bare" | "noise" | "own" | "peer";
  /** Whether only the load in steady state is measured, as the shutdown is that of another contestant. */
  readonly steadyOnly?: boolean;
}

/** The names of the bare servers. */
const BARE: Readonly<Record<Runtime, { name: string; module: string }>> = {
  node: { name: "node:http", module: "node_http" },
  deno: { name: "Deno.serve", module: "deno_serve" },
  bun: { name: "Bun.serve", module: "bun_serve" },
};

/** What a user of a runtime would pick instead, by module. */
const PEERS: Readonly<
  Record<Runtime, readonly (readonly [name: string, module: string])[]>
> = {
  node: [
    ["http-terminator", "http_terminator"],
    ["lil-http-terminator", "lil_http_terminator"],
    ["http-graceful-shutdown", "http_graceful_shutdown"],
    ["@godaddy/terminus", "terminus"],
    ["stoppable", "stoppable"],
    ["srvx", "srvx"],
    ["@hono/node-server", "hono"],
  ],
  deno: [["srvx", "srvx"]],
  bun: [["srvx", "srvx"]],
};

/** \@hono/node-server replaces the global `Response` unasked: this is its like. */
const REPLACING: Contestant = {
  platform: "node",
  name: "serve, replaceGlobals",
  module: "serve_replace_globals",
  role: "own",
  steadyOnly: true,
};

/** The contestants of one runtime, the bare one first. Go is compared with `node:http`. */
export function contestantsOf(platform: Runtime): Contestant[] {
  const bare = { platform, ...BARE[platform] };
  const go: Contestant = {
    platform: "go",
    name: "Go net/http",
    module: "go",
    role: "peer",
  };
  return [
    { ...bare, role: "bare" },
    { ...bare, name: `${bare.name}, again`, role: "noise", steadyOnly: true },
    { platform, name: "adopt", module: `adopt_${platform}`, role: "own" },
    { platform, name: "serve", module: "serve", role: "own" },
    {
      platform,
      name: "serve, handoff",
      module: "serve_handoff",
      role: "own",
      steadyOnly: true,
    },
    ...(platform === "node" ? [REPLACING] : []),
    ...PEERS[platform].map(([name, module]): Contestant => ({
      platform,
      name,
      module,
      role: "peer",
    })),
    ...(platform === "node" && versionOfGo() !== undefined ? [go] : []),
  ];
}

/** The contestants of a runtime whose shutdowns are compared. */
export function stoppersOf(platform: Runtime): Contestant[] {
  return contestantsOf(platform).filter(({ steadyOnly }) => steadyOnly !== true);
}

/** The versions of all that runs a server. */
export function versions(): string[] {
  return [...RUNTIMES.map(versionOf), versionOfGo()].filter((version) => version !== undefined);
}
