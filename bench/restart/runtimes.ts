/** How the services are started, and where they listen. */
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { type Runtime, RUNTIMES } from "../runtimes.ts";

/** The options that run a file. Deno's SO_REUSEPORT is unstable. */
const RUN: Readonly<Record<Runtime, readonly string[]>> = {
  node: [],
  deno: ["run", "--allow-all", "--no-check", "--unstable-net"],
  bun: ["run"],
};

/** The command that runs a file of this folder. */
export function commandOf(runtime: Runtime, file: string): [string, ...string[]] {
  const installed = fileURLToPath(new URL(`../../node_modules/.bin/${runtime}`, import.meta.url));
  const program = existsSync(installed) ? installed : runtime;
  return [program, ...RUN[runtime], fileURLToPath(new URL(file, import.meta.url))];
}

/** Refuses what is no runtime. */
export function asRuntime(name: string): Runtime {
  const runtime = RUNTIMES.find((runtime) => runtime === name);
  if (runtime !== undefined) return runtime;
  throw new RangeError(
    `Cannot restart as '--runtime' must be one of ${RUNTIMES.join(", ")}: it is ${name}`,
  );
}

/** Refuses what is no integer from the least on. */
export function asCount(option: string, value: string, least: number): number {
  const count = Number(value);
  if (Number.isInteger(count) && count >= least && value.trim() !== "") return count;
  throw new RangeError(`Cannot restart as '${option}' must be ${least} or more: it is ${value}`);
}

/** The ports that no system hands out by itself: a client's own connection cannot take one. */
const LOWEST = 10_000;
const HIGHEST = 32_000;

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (await isFree(port)) return port;
  }
}

/** Whether one can listen on the port. */
export function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
