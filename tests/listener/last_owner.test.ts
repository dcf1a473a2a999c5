/** The end of the last process that accepts on a listener which other processes could have. */
import { test } from "node:test";
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { freePort } from "../../support/ports.ts";
import { engines, runtime } from "../support/fixture.ts";
import { commandOf, Program } from "../support/process.ts";

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const SERVICE = file("../programs/passable_service.ts");
const CLI = file("../../src/cli/main.ts");
const PERMISSIONS = ["--allow-all", "--unstable-net"];

const CLIENTS = 8;
/** A connection that comes between the last look at the accept queue and the close is lost in about every third end. */
const ROUNDS = 4;
/** The time for which clients are served in each round, in ms. */
const SERVED = 200;

function start([program, ...args]: readonly string[]): Program {
  return new Program(
    spawn(program!, args, { stdio: ["ignore", "pipe", "pipe"] }),
    /^serves: (\d+)/gm,
  );
}

/**
 * The engine "deno-serve" may lose connections that Deno has accepted and whose requests it has not read: Deno's own stop
 * closes them. In one of two runs on a busy machine, 4 of 2 100 were lost. Without the rule under test, 24 or more are.
 */
const lostAtMost = (engine: string) => engine === "deno-serve" ? CLIENTS : 0;

/** Starts and ends a service again and again, and returns how many connections of its clients were lost. */
async function endUnderLoad(command: (port: number) => readonly string[]): Promise<number> {
  const port = await freePort();
  const clients = start([
    ...commandOf(file("../programs/hasty_clients.ts")),
    `${port}`,
    `${CLIENTS}`,
    "0",
  ]);
  await clients.says(/asking/);
  for (let round = 0; round < ROUNDS; round++) {
    const service = start(command(port));
    await service.says(/serves/);
    await sleep(SERVED);
    service.signal("SIGTERM");
    assertEquals(await service.exit, 0, service.output);
  }
  clients.signal("SIGTERM");
  await clients.says(/answered: [1-9]/);
  return Number(await clients.says(/lost: (\d+);/));
}

/** On Bun a server of `node:http` cannot listen on a descriptor. */
const kinds = runtime === "bun" ? engines : [...engines, "adopt"];

for (const engine of kinds) {
  const service = (port: number) => [...commandOf(SERVICE, PERMISSIONS), `${port}`, engine];

  test(`[${runtime}, ${engine}] shutdown() of a listener that could be handed over resets no connection`, async () => {
    const lost = await endUnderLoad(service);
    assert(lost <= lostAtMost(engine), `${lost} connections were lost`);
  });

  test(`[${runtime}, ${engine}] graceful run ends all workers and resets no connection`, async () => {
    const supervised = (port: number) => [
      ...commandOf(CLI, PERMISSIONS),
      "run",
      `--listen=127.0.0.1:${port}`,
      "--workers=2",
      "--",
      ...service(port),
    ];
    const lost = await endUnderLoad(supervised);
    assert(lost <= lostAtMost(engine), `${lost} connections were lost`);
  });
}
