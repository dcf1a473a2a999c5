/** What supervise() refuses, before anything is opened or started. */
import { test } from "node:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { serve } from "../../mod.ts";
import { parseAddress } from "../../src/supervisor/listen_address.ts";
import { supervise, type SupervisorOptions } from "../../src/supervisor/mod.ts";
import { supervisorSettings } from "../../src/supervisor/options.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";

const command = ["sleep", "60"];
const tcp = (hostname: string, port: number) => ({ transport: "tcp", hostname, port } as const);
const address = '"[host:]port", or the path of a unix socket, which has a slash: current value is ';

const refused: readonly (readonly [options: object, error: ErrorConstructor, message: string])[] = [
  [{}, TypeError, "'command' must be a program and its arguments: current value is undefined"],
  [{ command: [] }, TypeError, "'command' must be a program and its arguments"],
  [{ command: ["node", 1] }, TypeError, "'command' must be a program and its arguments"],
  [{ command: "node" }, TypeError, "'command' must be a program and its arguments"],
  [{ command: [""] }, TypeError, "'command' must be a program and its arguments"],
  [{ command: ["a\0b"] }, TypeError, "'command' must be a program and its arguments"],
  [{ command, listen: "web" }, TypeError, `'listen' must be ${address}"web"`],
  [{ command, listen: "" }, TypeError, `'listen' must be ${address}""`],
  [{ command, listen: ["1", 2] }, TypeError, `'listen' must be ${address}2`],
  [{ command, listen: ":80" }, TypeError, `'listen' must be ${address}":80"`],
  [{ command, listen: "::1:80" }, TypeError, `'listen' must be ${address}"::1:80"`],
  [{ command, listen: "65536" }, RangeError, "'listen' must be an integer from 0 to 65535"],
  [{ command, listen: `/${"x".repeat(200)}` }, RangeError, "'listen' must be of at most 107 bytes"],
  [{ command, listen: ["80", "0.0.0.0:80"] }, TypeError, "'listen' must be different addresses"],
  [{ command, reuseport: 1 }, TypeError, "'reuseport' must be a boolean"],
  [
    { command, reuseport: true, listen: "/run/web" },
    TypeError,
    "'reuseport' must be used with a TCP address in 'listen'",
  ],
  [{ command, reusePort: true }, TypeError, "'reusePort' is not an option: did you mean"],
  [{ command, workers: 0 }, RangeError, "'workers' must be an integer from 1 to 1024"],
  [{ command, workers: 1.5 }, RangeError, "'workers' must be an integer from 1 to 1024"],
  [{ command, workers: "all" }, TypeError, `'workers' must be "auto" or a number`],
  [{ command, readyTimeout: 0 }, RangeError, "'readyTimeout' must be from 1 to 2147483647 ms"],
  [{ command, minUptime: -1 }, RangeError, "'minUptime' must be from 0 to 2147483647 ms"],
  [{ command, minUptime: "1" }, TypeError, "'minUptime' must be a number of milliseconds"],
  [{ command, pidFile: "" }, TypeError, "'pidFile' must be a string that is not empty"],
  [{ command, cwd: 1 }, TypeError, "'cwd' must be a string"],
  [{ command, env: { A: 1 } }, TypeError, "'env' must be an object of strings, also at 'A'"],
  [{ command, health: "x" }, TypeError, `'health' must be ${address}"x"`],
  [
    { command, health: "80", listen: "80" },
    TypeError,
    "'health' must be an address that is not in 'listen'",
  ],
  [{ command, prefix: "yes" }, TypeError, "'prefix' must be a boolean"],
  [{ command, signals: 1 }, TypeError, "'signals' must be a boolean"],
  [{ command, signal: 1 }, TypeError, "'signal' must be an AbortSignal"],
  [{ command, log: true }, TypeError, "'log' must be false or a function"],
  [{ command, port: 80 }, TypeError, "'port' is not an option: did you mean 'listen'?"],
  [{ command, worker: 2 }, TypeError, "'worker' is not an option: did you mean 'workers'?"],
];

for (const [options, error, message] of refused) {
  test(`[${runtime}] supervise() refuses ${JSON.stringify(options).slice(0, 80)}`, async () => {
    await assertRejects(
      // The cast: the types refuse most of these.
      () => supervise(options as SupervisorOptions),
      error,
      `Cannot supervise as ${message}`,
    );
  });
}

test(`[${runtime}] supervise() has defaults`, () => {
  const { workers, readyTimeout, minUptime, silence, listen } = supervisorSettings({ command });
  assertEquals([workers, readyTimeout, minUptime, silence, listen], [1, 60_000, 1_000, 5_000, []]);
  assertEquals(supervisorSettings({ command, minUptime: 8_000 }).silence, 8_000);
  assert(supervisorSettings({ command, workers: "auto" }).workers >= 1);
});

test(`[${runtime}] supervise() reads addresses`, () => {
  const parsed = {
    "80": tcp("0.0.0.0", 80),
    "localhost:0": tcp("localhost", 0),
    "127.0.0.1:8080": tcp("127.0.0.1", 8080),
    "[::1]:8080": tcp("::1", 8080),
    "[::]:1": tcp("::", 1),
    "/run/web": { transport: "unix", path: "/run/web" },
    "./web": { transport: "unix", path: join(process.cwd(), "web") },
    "/run/../run/web:1": { transport: "unix", path: "/run/web:1" },
  } as const;
  for (const [text, addr] of Object.entries(parsed)) assertEquals(parseAddress("x", text), addr);
  assertThrows(() => parseAddress("listen as 'x'", "a b:1x"), TypeError, "Cannot listen as 'x'");
});

test(`[${runtime}] supervise() leaves nothing behind if it cannot listen`, async () => {
  const taken = await serve(() => new Response(), { port: 0, hostname: "127.0.0.1" });
  const { port } = taken.addr as { port: number };
  const path = join(temporaryFolder(), "socket");
  const pidFile = join(temporaryFolder(), "pid");
  const events: string[] = [];
  const options = {
    command,
    listen: [path, `127.0.0.1:${port}`],
    pidFile,
    log: ({ type }: { type: string }) => events.push(type),
  };
  await assertRejects(() => supervise(options), Error, "the address is already in use");
  assertEquals(events, ["occupied"]);
  assertEquals([existsSync(path), existsSync(pidFile)], [false, false]);
  await assertRejects(
    () => supervise({ command, listen: path, pidFile: "/no/such/folder/pid", log: false }),
    Error,
    "ENOENT",
  );
  assert(!existsSync(path));
  await taken.close();
});
