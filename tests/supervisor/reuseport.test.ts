/** `graceful run --reuseport`: a listening socket for each worker, and what waits in its queue. */
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { soakSupervised } from "../../bench/supervisor/soak.ts";
import { serve } from "../../mod.ts";
import { libraries } from "../../src/runtime/linux/libc.ts";
import { listeningRows, TCP_TABLES } from "../../src/runtime/linux/proc_net.ts";
import { supervise } from "../../src/supervisor/mod.ts";
import { until } from "../../support/until.ts";
import { runtime } from "../support/fixture.ts";
import { SupervisedService } from "../support/supervised.ts";

/** How many sockets listen at a port. */
function listeners(port: number): number {
  const rows = TCP_TABLES.flatMap((table) => [
    ...listeningRows(readFileSync(table, "latin1").trimEnd().split("\n")),
  ]);
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return rows.filter(({ local }) => local.endsWith(suffix)).length;
}

/** Asks over a new connection each time, by several clients, and notes who answers. `stop` rejects if anything failed. */
function askOn(service: SupervisedService): { answers: Set<number>; stop(): Promise<void> } {
  const answers = new Set<number>();
  let isOver = false;
  const clients = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      answers.add(Number(await service.ask()));
    }
  });
  const all = Promise.all(clients);
  all.catch(() => {});
  return {
    answers,
    async stop() {
      isOver = true;
      await all;
    },
  };
}

test(
  `[${runtime}] graceful run --reuseport keeps the sockets across generations and crashes`,
  async () => {
    const service = await SupervisedService.start({
      args: ["--reuseport", "--workers=3", "--min-uptime=0.2"],
    });
    assertEquals(listeners(service.port), 3);
    const load = askOn(service);
    await service.reload(2);
    await service.gone(service.pidsOf(1));
    assertEquals(listeners(service.port), 3);
    const [killed, ...others] = service.pidsOf(2);
    await until(
      () => `not all of ${[killed, ...others]} have answered`,
      () => [killed!, ...others].every((pid) => load.answers.has(pid)) || undefined,
    );
    await load.stop();
    process.kill(killed!, "SIGKILL");
    await service.says(/worker 4 will be replaced in 100 ms/);
    // The kernel gives the worker that is not there no connection.
    const after = askOn(service);
    await service.says(/^supervisor: worker 7 \(process \d+\) is ready/m);
    await after.stop();
    assert(after.answers.size >= 2, `${[...after.answers]}`);
    assertEquals(listeners(service.port), 3);
    assertEquals(await service.end(), 0, service.output);
    assertEquals(listeners(service.port), 0);
  },
);

test(
  `[${runtime}] graceful run --reuseport changes the number of workers without losing a connection`,
  async () => {
    const service = await SupervisedService.start({ args: ["--reuseport", "--workers=2"] });
    const load = askOn(service);
    service.program.signal("SIGTTOU");
    await service.says(/worker 2 \(process \d+\) has ended with code 0, as it was told/);
    assertEquals(await service.workers(1), [1]);
    const alone = askOn(service);
    assert(await service.ask() !== "");
    await alone.stop();
    assertEquals([...alone.answers], [service.pids[0]!]);
    service.program.signal("SIGTTIN");
    // Two signals at a time may be one.
    await service.says(/^supervisor: the number of workers is now 2/m);
    service.program.signal("SIGTTIN");
    await service.says(/^supervisor: worker 4 \(process \d+\) is ready/m);
    assertEquals(await service.workers(3), [1, 3, 4]);
    assertEquals(listeners(service.port), 3);
    await service.reload(2);
    await service.gone(service.pidsOf(1));
    await load.stop();
    assertEquals(await service.end(), 0, service.output);
  },
);

// rolling.test.ts has every pair of runtimes; here each runs the supervisor once, and the workers once.
test(
  `[${runtime}] graceful run --reuseport loses no request in rolling restarts under load`,
  async () => {
    const workers = 2;
    const restarts = 2;
    const result = await soakSupervised({
      supervisor: runtime,
      worker: runtime,
      workers,
      restarts,
      reuseport: true,
      fresh: 12,
      kept: 12,
      steady: 300,
      idleGrace: 10_000,
    });
    assertEquals([result.failed, result.failed > 0 ? result.messages : []], [0, []]);
    assertEquals(result.exitCodes, Array(workers * (restarts + 1)).fill(0));
  },
);

test(`[${runtime}] supervise() refuses 'reuseport' at an address that is in use`, async () => {
  const taken = await serve(() => new Response(), { port: 0, hostname: "127.0.0.1" });
  const { port } = taken.addr as { port: number };
  await assertRejects(
    () =>
      supervise({
        command: ["sleep", "60"],
        listen: `127.0.0.1:${port}`,
        reuseport: true,
        log: false,
      }),
    Error,
    "the address is already in use",
  );
  await taken.close();
});

if (runtime === "node") {
  test(`[${runtime}] supervise() refuses 'reuseport' where connections cannot be kept from workers`, async () => {
    const { open } = libraries;
    libraries.open = () => undefined;
    try {
      await assertRejects(
        () =>
          supervise({
            command: ["sleep", "60"],
            listen: "127.0.0.1:0",
            reuseport: true,
            log: false,
          }),
        Error,
        "Cannot supervise with 'reuseport': connections cannot be kept from workers that are not ready",
      );
    } finally {
      libraries.open = open;
    }
  });
}
