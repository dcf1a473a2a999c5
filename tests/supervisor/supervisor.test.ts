/** `graceful run`, in real processes: generations, crashes, signals and the end, with workers of each runtime. */
import { existsSync, mkdirSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { isFree } from "../../support/ports.ts";
import { RUNTIMES } from "../../support/runtimes.ts";
import { until } from "../../support/until.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { isRunning } from "../support/process.ts";
import { testSideBySide } from "../support/side_by_side.ts";
import { SOON, SupervisedService } from "../support/supervised.ts";

for (const worker of RUNTIMES) {
  const on = `[${runtime}, workers of ${worker}]`;

  testSideBySide(
    `${on} graceful run replaces a generation, which ends what it has begun`,
    async () => {
      const service = await SupervisedService.start({
        worker,
        args: ["--workers=2", "--min-uptime=0.2"],
      });
      const first = service.pidsOf(1);
      assertEquals(first.length, 2);
      const slow = await service.request("/wait");
      const busy = Number(await service.says(/arrived: \/wait by (\d+);/));
      await service.reload(2);
      const second = service.pidsOf(2);
      const idle = first.find((pid) => pid !== busy)!;
      await service.says(new RegExp(`^down: ${idle} SIGTERM 0;`, "m"));
      await service.says(new RegExp(`\\(process ${idle}\\) has ended with code 0, as it was told`));
      await until(
        () => "a new worker answers",
        async () => second.includes(Number(await service.ask())) ? true : undefined,
      );
      assert(isRunning(busy), "it has a request to answer");
      assertEquals((await service.status()).workers.map(({ state }) => state).sort(), [
        "ending",
        "ready",
        "ready",
      ]);
      process.kill(busy, "SIGUSR2");
      assertEquals((await deadline(slow.response(), SOON)).body, String(busy));
      await service.gone(first);
      assertEquals(await service.end(), 0, service.output);
      assert(await isFree(service.port));
      // The variables of the handover and of systemd are gone once they are read.
      assertEquals([...service.output.matchAll(/^variables: \d+ (.*);$/gm)].map(([, v]) => v), [
        "",
        "",
        "",
        "",
      ]);
    },
  );
}

testSideBySide(
  `[${runtime}] graceful run keeps the generation that serves, if a worker of the new one fails`,
  async () => {
    const service = await SupervisedService.start({
      args: ["--workers=2", "--min-uptime=1", "--ready-timeout=5"],
    });
    const pids = service.pidsOf(1);
    const failures = {
      "exits with 3":
        /generation \d+ has failed: worker \d+ ended with code 3 before it was ready\. Generation 1 keeps serving$/m,
      "hangs":
        /generation \d+ has failed: worker \d+ was not ready within 5 s\. Generation 1 keeps serving$/m,
      "dies after 100":
        /generation \d+ has failed: worker \d+ was ended by SIGKILL [\d.]+ s after it was ready\. Generation 1 keeps serving$/m,
    };
    for (const [mishap, line] of Object.entries(failures)) {
      service.mishap = mishap;
      service.program.signal("SIGHUP");
      await service.says(line);
      assertEquals(await service.workers(2), [1, 2]);
      assert(pids.includes(Number(await service.ask())));
      const { generation, workers, ready } = await service.status();
      assertEquals([generation, ready], [1, true]);
      assertEquals(workers.map(({ pid }) => pid), pids);
    }
    service.mishap = "";
    await service.reload(5);
    assertEquals(await service.end(), 0, service.output);
  },
);

testSideBySide(
  `[${runtime}] graceful run starts one more generation for signals that come while one starts`,
  async () => {
    const service = await SupervisedService.start({ args: ["--min-uptime=0.5"] });
    service.program.signal("SIGHUP");
    await service.says(/generation 2 starts/);
    service.program.signal("SIGHUP");
    await service.says(/generation 3 will start when/);
    service.program.signal("SIGHUP");
    await service.says(/^supervisor: generation 3 serves/m);
    await service.gone([...service.pidsOf(1), ...service.pidsOf(2)]);
    assertEquals((await service.status()).generation, 3);
    assertEquals(await service.end(), 0, service.output);
  },
);

testSideBySide(`[${runtime}] graceful run starts a worker again that has crashed`, async () => {
  const service = await SupervisedService.start({ args: ["--workers=2"] });
  const [killed] = service.pidsOf(1);
  process.kill(killed!, "SIGKILL");
  await service.says(/worker 1 will be replaced in 100 ms/);
  await service.says(/^supervisor: worker 3 \(process \d+\) is ready/m);
  const { workers, restarts, ready } = await service.status();
  assertEquals([workers.map(({ worker }) => worker), restarts, ready], [[2, 3], 1, true]);
  assertEquals(await service.end(), 0, service.output);
});

testSideBySide(`[${runtime}] graceful run starts with a worker that fails at first`, async () => {
  const service = await SupervisedService.start({ mishap: "crashes once" });
  await service.says(/worker 1 \(process \d+\) has ended with code 5$/m);
  assertEquals(service.pids.length, 2);
  assertEquals(await service.end(), 0, service.output);
});

testSideBySide(
  `[${runtime}] graceful run ends in a crash loop, with the code of the worker`,
  async () => {
    const service = await SupervisedService.launch({ mishap: "exits with 42" });
    assertEquals(await deadline(service.program.exit, SOON), 42, service.output);
    const pauses = [...service.output.matchAll(/worker \d will be replaced in (.*)$/gm)];
    assertEquals(pauses.map(([, pause]) => pause), ["100 ms", "200 ms", "400 ms", "800 ms"]);
    assertEquals(service.pids.length, 5);
    assert(await isFree(service.port));
  },
);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  testSideBySide(`[${runtime}] graceful run passes ${signal} on once, and waits`, async () => {
    const service = await SupervisedService.start({ args: ["--workers=2"] });
    const slow = await service.request("/wait");
    const busy = Number(await service.says(/arrived: \/wait by (\d+);/));
    service.program.signal(signal);
    await service.says(/telling the workers to end/);
    // A runner sends copies.
    service.program.signal("SIGTERM");
    await service.says(new RegExp(`^down: (?!${busy})\\d+ ${signal} 0;`, "m"));
    const readiness = await service.health("/readyz");
    assertEquals(readiness.status, 503);
    process.kill(busy, "SIGUSR2");
    assertEquals((await deadline(slow.response(), SOON)).body, String(busy));
    assertEquals(await deadline(service.program.exit, SOON), 0, service.output);
    assert(!service.output.includes("forcing"), service.output);
    await service.gone(service.pids);
  });
}

testSideBySide(
  `[${runtime}] graceful run passes a second signal on, and ends with the highest code`,
  async () => {
    const service = await SupervisedService.start({ args: ["--workers=2"] });
    await service.request("/wait");
    await service.says(/arrived: \/wait by (\d+);/);
    service.program.signal("SIGTERM");
    await service.says(/^down: \d+ SIGTERM 0;/m);
    const timer = setInterval(() => service.program.signal("SIGTERM"), 1_000);
    const code = await deadline(service.program.exit, SOON);
    clearInterval(timer);
    assertEquals(code, 128 + 15, service.output);
    assertStringIncludes(service.output, "SIGTERM is sent to the workers that are left");
    await service.gone(service.pids);
  },
);

testSideBySide(
  `[${runtime}] graceful run kills a worker that hears nothing, at the third signal`,
  async () => {
    const script = "trap '' TERM; echo starts: $$; while :; do sleep 0.05; done";
    const service = await SupervisedService.start({ command: ["sh", "-c", script] });
    service.program.signal("SIGTERM");
    await service.says(/telling the workers to end/);
    const timer = setInterval(() => service.program.signal("SIGTERM"), 1_000);
    const code = await deadline(service.program.exit, SOON);
    clearInterval(timer);
    assertEquals(code, 128 + 9, service.output);
    await service.gone(service.pids);
  },
);

testSideBySide(
  `[${runtime}] graceful run has a worker more at SIGTTIN, and one less at SIGTTOU`,
  async () => {
    const service = await SupervisedService.start();
    service.program.signal("SIGTTIN");
    await service.says(/^supervisor: worker 2 \(process \d+\) is ready/m);
    assertEquals((await service.status()).workers.length, 2);
    await service.reload(2);
    assertEquals(service.pidsOf(2).length, 2, "the next generation has as many");
    service.program.signal("SIGTTOU");
    await service.says(/worker 4 \(process \d+\) has ended with code 0, as it was told/);
    service.program.signal("SIGTTOU");
    service.program.signal("SIGUSR1");
    await service.says(/^usr1: \d+;/m);
    assertEquals(await service.workers(1), [3]);
    assertEquals(await service.end(), 0, service.output);
  },
);

for (const [signal, line] of [["SIGUSR1", "usr1"], ["SIGUSR2", "released"]] as const) {
  testSideBySide(`[${runtime}] graceful run passes ${signal} on to all workers`, async () => {
    const service = await SupervisedService.start({ args: ["--workers=2"] });
    service.program.signal(signal);
    for (const pid of service.pids) await service.says(new RegExp(`^${line}: ${pid};`, "m"));
    assertEquals(await service.end(), 0, service.output);
  });
}

testSideBySide(
  `[${runtime}] graceful run starts a generation where the path of the folder leads then`,
  async () => {
    const folder = temporaryFolder();
    for (const release of ["1", "2"]) mkdirSync(join(folder, release));
    const current = join(folder, "current");
    symlinkSync("1", current);
    const service = await SupervisedService.start({ cwd: current, env: { PWD: current } });
    assertEquals(await service.ask("/cwd"), join(folder, "1"));
    symlinkSync("2", join(folder, "next"));
    renameSync(join(folder, "next"), current);
    const [pid] = service.pidsOf(1);
    process.kill(pid!, "SIGKILL");
    await service.says(/^supervisor: worker 2 \(process \d+\) is ready/m);
    assertEquals(await service.ask("/cwd"), join(folder, "1"), "the release of its generation");
    await service.reload(2);
    await service.gone(service.pidsOf(1));
    assertEquals(await service.ask("/cwd"), join(folder, "2"));
    assertEquals(JSON.parse(await service.ask("/env"))["PWD"], current);
    assertEquals(await service.end(), 0, service.output);
  },
);

testSideBySide(`[${runtime}] graceful run writes a PID file, and removes it`, async () => {
  const file = join(temporaryFolder(), "pid");
  const service = await SupervisedService.start({ args: [`--pid-file=${file}`] });
  assertEquals(readFileSync(file, "utf8"), `${service.program.child.pid}\n`);
  await service.reload(2);
  assertEquals(readFileSync(file, "utf8"), `${service.program.child.pid}\n`, "it never changes");
  assertEquals(await service.end(), 0, service.output);
  assert(!existsSync(file));
});

testSideBySide(
  `[${runtime}] graceful run begins each line of a worker with its number`,
  async () => {
    const service = await SupervisedService.start({ args: ["--prefix", "--workers=2"] });
    for (const [index, pid] of service.pids.entries()) {
      await service.says(new RegExp(`^\\[${index + 1}\\] graceful: ${pid};$`, "m"));
    }
    assertEquals(await service.end(), 0, service.output);
    const lines = service.output.trimEnd().split("\n");
    assertEquals(lines.filter((line) => !/^(\[[12]\]|supervisor:) /.test(line)), []);
    assertStringIncludes(service.output, "[1] graceful: ended after ");
  },
);

for (const flags of [[], ["--prefix"]]) {
  testSideBySide(
    `[${runtime}, ${
      flags[0] ?? "no option"
    }] graceful run goes on when nobody reads its output any more`,
    async () => {
      const service = await SupervisedService.start({ args: [...flags, "--min-uptime=0.1"] });
      const { child } = service.program;
      child.stdout!.destroy();
      child.stderr!.destroy();
      service.program.signal("SIGHUP");
      await until(
        () => "generation 2 does not serve",
        async () => (await service.status()).generation === 2 || undefined,
      );
      const pids = [...service.pids, ...(await service.status()).workers.map(({ pid }) => pid)];
      assert(pids.includes(Number(await service.ask())));
      service.program.signal("SIGTERM");
      const code = await deadline(service.program.exit, SOON);
      // Without the option the workers' own output fails, and on Node `console.log` then ends them with 1.
      if (flags.length > 0) assertEquals(code, 0);
      await service.gone(pids);
    },
  );
}

testSideBySide(`[${runtime}] graceful run passes on more than a few listeners`, async () => {
  const folder = temporaryFolder();
  const more = Array.from({ length: 20 }, (_, index) => `--listen=${join(folder, String(index))}`);
  const service = await SupervisedService.start({ args: ["--workers=2", ...more] });
  await service.ask();
  assert(!service.output.includes("Ignored "), service.output);
  assertEquals(await service.end(), 0, service.output);
});

testSideBySide(`[${runtime}] graceful run answers for the health of the whole`, async () => {
  const service = await SupervisedService.launch({ args: ["--workers=2"] });
  await service.says(/^supervisor: listening on 127/m);
  const codes = async () =>
    await Promise.all(
      ["/readyz", "/livez"].map(async (path) => (await service.health(path)).status),
    );
  assertEquals(await codes(), [503, 200]);
  await service.says(/^supervisor: generation 1 serves/m);
  assertEquals(await codes(), [200, 200]);
  const status = await service.status();
  const { since: _since, workers, ...rest } = status;
  assertEquals(rest, {
    pid: service.program.child.pid!,
    state: "serving",
    ready: true,
    generation: 1,
    restarts: 0,
    listeners: [`127.0.0.1:${service.port}`],
  });
  assertEquals(workers.map(({ since: _since, ...worker }) => worker), [
    { worker: 1, generation: 1, pid: service.pids[0]!, state: "ready" },
    { worker: 2, generation: 1, pid: service.pids[1]!, state: "ready" },
  ]);
  assert(Date.now() - Date.parse(status.since) < SOON);
  assertEquals((await service.health("/else")).status, 404);
  process.kill(service.pids[0]!, "SIGKILL");
  await service.says(/was ended by SIGKILL/);
  assertEquals(await codes(), [503, 200]);
  await service.says(/^supervisor: worker 3 \(process \d+\) is ready/m);
  assertEquals(await codes(), [200, 200]);
  assertEquals(await service.end(), 0, service.output);
  assert(await isFree(service.healthPort));
});

testSideBySide(
  `[${runtime}] graceful() drains and ends a worker whose supervisor is killed, and another supervisor takes over`,
  async () => {
    const service = await SupervisedService.start({
      args: ["--workers=2"],
      // A lame duck would keep the address.
      graceful: { drainDelay: 60_000 },
    });
    const slow = await service.request("/wait");
    const busy = Number(await service.says(/arrived: \/wait by (\d+);/));
    service.program.signal("SIGKILL");
    const next = await SupervisedService.start({ port: service.port });
    const answer = await connect(next.addr);
    answer.write(request("/", "Connection: close"));
    assertEquals((await deadline(answer.response(), SOON)).body, String(next.pids[0]));
    process.kill(busy, "SIGUSR2");
    assertEquals((await deadline(slow.response(), SOON)).body, String(busy));
    await service.gone(service.pids);
    assertEquals(await next.end(), 0, next.output);
  },
);
