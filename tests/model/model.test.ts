/**
 * Random schedules on every kind of server of this runtime, against the model. `MODEL_SEED` sets the seed, and
 * `run.ts` tries as many as one likes. Each step waits until the server has seen the one before. Schedules whose steps
 * race each other are for `run.ts --races` alone: in about one of a thousand the model forbids what may happen.
 */
import { test } from "node:test";
import { execFileSync } from "node:child_process";
import process from "node:process";
import { assertEquals } from "@std/assert";
import { engines, runtime } from "../support/fixture.ts";
import { check } from "./check.ts";
import type { Kind } from "./exceptions.ts";

const SEED = Number(process.env["MODEL_SEED"] ?? 1);
/** The number of schedules of a kind of server, for each of three seeds. */
const RUNS = 15;
/** The number of milliseconds that the schedules of a kind may take. */
const LIMIT = 2_000;

/** Deno has no TLS on unix sockets, and no other engine is tried with it either. */
const TRANSPORTS = ["tcp", "tls", "unix"] as const;

const kinds: Kind[] = [
  ...engines.flatMap((engine) =>
    TRANSPORTS.map((transport): Kind => ({ runtime, engine, via: "serve", transport }))
  ),
  { runtime, engine: "node", via: "adopt", transport: "tcp" },
];
if (runtime === "node" && hasGo()) {
  kinds.push({ runtime: "go", engine: "go", via: "serve", transport: "tcp" });
}

function hasGo(): boolean {
  try {
    execFileSync("go", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

for (const kind of kinds) {
  const { runtime, engine, via, transport } = kind;
  test(`[${runtime}, ${engine}, ${via}, ${transport}] shutdown() and close() do what the model says`, async () => {
    const jobs = [SEED, SEED + 1, SEED + 2].map((seed) =>
      check(kind, { seed, runs: RUNS, races: false, limit: LIMIT })
    );
    for (const { difference } of await Promise.all(jobs)) assertEquals(difference, undefined);
  });
}
