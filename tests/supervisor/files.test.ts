/** The files of a supervisor: what it finds in their place, and what it leaves behind; the environment of its workers. */
import { test } from "node:test";
import { existsSync, linkSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import net from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { supervise, type SupervisorEvent } from "../../src/supervisor/mod.ts";
import { freePort } from "../../support/ports.ts";
import { commandOf } from "../../support/runtimes.ts";
import { until } from "../../support/until.ts";
import type { Plan } from "../programs/supervised.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { SOON } from "../support/supervised.ts";

const WORKER = new URL("../programs/supervised.ts", import.meta.url);
const common = { command: ["sleep", "60"], log: false, signals: false } as const;

/** Leaves the file of a unix socket at a path, on which nobody listens: as a process does that was killed. */
async function leaveSocket(folder: string, path: string): Promise<void> {
  const own = join(folder, "own");
  const server = net.createServer().listen(own);
  await once(server, "listening");
  linkSync(own, path);
  server.close();
  await once(server, "close");
  assert(existsSync(path));
}

test(`[${runtime}] supervise() leaves nothing behind if it cannot write its PID file`, async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "pid"));
  await assertRejects(() => supervise({ ...common, pidFile: join(folder, "pid") }), Error);
  assertEquals(readdirSync(folder), ["pid"]);
});

test(`[${runtime}] supervise() listens where a killed process has left the file of its socket`, async () => {
  const folder = temporaryFolder();
  const [listen, health] = [join(folder, "web"), join(folder, "health")];
  for (const path of [listen, health]) await leaveSocket(folder, path);
  const supervisor = await supervise({ ...common, listen, health });
  await deadline(supervisor.stop(), SOON);
  assertEquals(readdirSync(folder), []);
});

test(`[${runtime}] supervise() leaves the socket of another process in the place of its own`, async () => {
  const folder = temporaryFolder();
  const listen = join(folder, "web");
  const supervisor = await supervise({ ...common, listen });
  rmSync(listen);
  const next = net.createServer().listen(listen);
  await once(next, "listening");
  await deadline(supervisor.stop(), SOON);
  assertEquals(readdirSync(folder), ["web"]);
  next.close();
});

test(`[${runtime}] supervise() says that the folder of a generation is gone`, async () => {
  const cwd = join(temporaryFolder(), "release");
  const { promise, resolve } = Promise.withResolvers<SupervisorEvent & { type: "ended" }>();
  const supervisor = await supervise({
    ...common,
    cwd,
    log: (event) => event.type === "ended" && resolve(event),
  });
  const { error } = await deadline(promise, SOON);
  await supervisor.stop();
  assertStringIncludes(String(error), `the folder to start it in does not exist: ${cwd}`);
});

test(`[${runtime}] supervise() starts a generation with the environment of that time, changed by 'env'`, async () => {
  const port = await freePort();
  const plan: Plan = { servers: [{ port, hostname: "127.0.0.1" }], graceful: { idleGrace: 0 } };
  const worker = [...commandOf(runtime, WORKER), JSON.stringify(plan)];
  process.env["LEFT_OUT"] = process.env["OF_TIME"] = "1";
  const supervisor = await supervise({
    ...common,
    command: ["sh", "-c", 'exec "$@" >/dev/null 2>&1', "sh", ...worker],
    env: { ADDED: "1", LEFT_OUT: undefined },
    listen: `127.0.0.1:${port}`,
    minUptime: 0,
  });
  const variables = async () => {
    const headers = { connection: "close" };
    const { ADDED, LEFT_OUT, OF_TIME }: NodeJS.ProcessEnv =
      await (await fetch(`http://127.0.0.1:${port}/env`, { headers })).json();
    return [ADDED, LEFT_OUT, OF_TIME];
  };
  assertEquals(await variables(), ["1", undefined, "1"]);
  process.env["OF_TIME"] = "2";
  const [before] = supervisor.status().workers;
  assert(await deadline(supervisor.reload(), SOON));
  const isGone = () => !supervisor.status().workers.some(({ pid }) => pid === before!.pid);
  await until(() => "a worker has not ended", () => isGone() || undefined);
  assertEquals(await variables(), ["1", undefined, "2"]);
  await deadline(supervisor.stop(), SOON);
  for (const name of ["LEFT_OUT", "OF_TIME"]) delete process.env[name];
});
