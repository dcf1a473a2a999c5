/** The end of the last process that accepts on a listener which other processes could have. */
import { test } from "node:test";
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { assertEquals, assertMatch } from "@std/assert";
import { freePort } from "../../support/ports.ts";
import { engines, runtime } from "../support/fixture.ts";
import { commandOf, Program } from "../support/process.ts";

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const SERVICE = file("../programs/passable_service.ts");
const CLI = file("../../src/cli/main.ts");
const PERMISSIONS = ["--allow-all", "--unstable-net"];

const CLIENTS = 8;
/** A connection that comes between the last look at the accept queue and the close is lost in about every third end. */
const ROUNDS = 6;
/** The time for which clients are served in each round, in ms. */
const SERVED = 200;

function start([program, ...args]: readonly string[]): Program {
  return new Program(
    spawn(program!, args, { stdio: ["ignore", "pipe", "pipe"] }),
    /^serves: (\d+)/gm,
  );
}

/** Starts and ends a service again and again, and returns what became of the connections of its clients. */
async function endUnderLoad(command: (port: number) => readonly string[]): Promise<string> {
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
  return await clients.says(/answered: .*;/);
}

for (const engine of engines) {
  const service = (port: number) => [...commandOf(SERVICE, PERMISSIONS), `${port}`, engine];

  test(`[${runtime}, ${engine}] shutdown() of a listener that could be handed over resets no connection`, async () => {
    assertMatch(await endUnderLoad(service), /answered: [1-9]\d*, lost: 0;/);
  });

  test(`[${runtime}, ${engine}] the end of all workers resets no connection`, async () => {
    const supervised = (port: number) => [
      ...commandOf(CLI, PERMISSIONS),
      "run",
      `--listen=127.0.0.1:${port}`,
      "--workers=2",
      "--",
      ...service(port),
    ];
    assertMatch(await endUnderLoad(supervised), /answered: [1-9]\d*, lost: 0;/);
  });
}
