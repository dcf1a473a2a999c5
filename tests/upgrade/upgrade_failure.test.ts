/**
 * What goes wrong with an upgrade, and at which step: the service goes on, or ends, in the one way
 * that is stated, and nothing is left behind.
 */
import { test } from "node:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { freePort } from "../../support/ports.ts";
import { engines, runtime, temporaryFolder } from "../support/fixture.ts";
import { Service, SOON } from "../support/generations.ts";
import { commandOf, isRunning, run, stateOf } from "../support/process.ts";

const servers = [{ port: 0, hostname: "127.0.0.1", engine: engines[0]!, handoff: "auto" }] as const;
const hasProc = process.platform === "linux";

/** How many descriptors a process has, when its connections have come to their ends. */
async function countDescriptors(pid: number): Promise<number> {
  if (!hasProc) return 0;
  const counts: number[] = [];
  while (counts.length < 10 || new Set(counts.slice(-10)).size > 1) {
    counts.push(readdirSync(`/proc/${pid}/fd`).length);
    await sleep(20);
  }
  return counts.at(-1)!;
}

/** Asks for a restart that fails, while the service is asked all the time, and checks what is left. */
async function failToRestart(service: Service, message: RegExp): Promise<void> {
  const { pid } = service;
  service.hup();
  const failed = service.says(message).then(() => true);
  while (!await Promise.race([failed, service.ask().then((by) => assertEquals(by, String(pid)))]));
  const [successor] = service.pids.slice(-1);
  if (successor !== pid) assertEquals(stateOf(successor!), undefined, "ended, and no zombie");
  assertEquals(await service.ask(), String(pid));
}

const mishaps: Record<string, RegExp> = {
  "crashes at once": /UpgradeError: The new process exited with code 1 before it was ready/,
  "exits at once":
    /UpgradeError: The new process exited with code 0 before it was ready: it is ready when it reaches graceful\(\)/,
  "crashes after serve": /UpgradeError: The new process exited with code 1 before it was ready/,
  "hangs":
    /, process \d+ keeps serving: UpgradeError: The new process did not reach graceful\(\) within readyTimeout \(1500 ms\), and was killed/,
};

for (const [mishap, message] of Object.entries(mishaps)) {
  test(`[${runtime}] Upgrader keeps serving when a successor ${mishap}`, async () => {
    // On a busy machine even the start of a program takes longer.
    const upgrader = mishap === "hangs" ? { readyTimeout: 1_500 } : {};
    const service = await Service.start({ servers, upgrader });
    await service.ask();
    service.nextMishap = mishap;
    await failToRestart(service, message);
    const before = await countDescriptors(service.pid);
    service.program.output = service.program.output.replaceAll("UpgradeError", "earlier error");
    await failToRestart(service, message);
    assertEquals(await countDescriptors(service.pid), before, "no descriptor is lost");
    service.nextMishap = "";
    await service.restart();
    assertEquals(await service.ask(), String(service.pid));
    assertEquals(await service.end(), 0);
    await service.gone();
  });
}

for (const engine of engines) {
  test(`[${runtime}, ${engine}] Upgrader keeps serving when a successor shuts down before it is ready`, async () => {
    const service = await Service.start({ servers: [{ ...servers[0], engine }] });
    await service.ask();
    service.nextMishap = "shuts down and exits";
    await failToRestart(service, /UpgradeError: The new process exited with code 1/);
    assertEquals(await service.end(), 0);
    await service.gone();
  });
}

/** Asks the server on a port or at a path, and returns its answer or the error. */
function ask(where: string): Promise<string> {
  const target = where.startsWith("/") ? { socketPath: where } : { port: where };
  return new Promise((resolve) => {
    const request = http.get({ ...target, host: "127.0.0.1", agent: false }, (response) => {
      response.setEncoding("utf8").once("data", resolve);
    });
    request.on("error", (error) => resolve(String(error)));
  });
}

for (const engine of engines) {
  for (const kind of ["tcp", "unix"]) {
    test(`[${runtime}, ${engine}, ${kind}] Upgrader passes a socket on whose server shuts down while the successor starts`, async () => {
      const path = join(temporaryFolder(), "socket");
      const program = run("closed_in_upgrade.ts", [engine, ...(kind === "unix" ? [path] : [])]);
      const says = (pattern: RegExp) => deadline(program.says(pattern), SOON);
      const pid = Number(await says(/predecessor: (\d+);/));
      const where = await says(/second: (.*);/);
      process.kill(pid, "SIGHUP");
      const successor = Number(await says(/waits: (\d+);/));
      process.kill(pid, "SIGUSR2");
      await says(/shut down: \d+;/);
      process.kill(successor, "SIGUSR2");
      await says(/successor: \d+;/);
      while (isRunning(pid)) await sleep(20);
      const answer = await ask(where);
      process.kill(successor, "SIGTERM");
      // The successor has the output of the program.
      assertEquals(await deadline(program.exit, SOON), 0);
      assertEquals(answer, String(successor));
      assert(!existsSync(path));
    });
  }
}

test(`[${runtime}] serve() in a successor says that the predecessor has the address`, async () => {
  const alone = { port: await freePort(), hostname: "127.0.0.1", engine: engines[0]! };
  const service = await Service.start({ servers: [...servers, alone], apart: true });
  const { pid } = service;
  await failToRestart(service, /The new process exited with code 1 before it was ready/);
  await service.says(
    new RegExp(`already in use. The predecessor, process ${pid}, may still listen there`),
  );
  assertEquals(await service.end(), 0);
  await service.gone();
});

const lines: Record<string, string> = {
  "another text with the word": "echo 'database already' >&3",
  "a line before it": "printf 'starting\\nready\\n' >&3",
  "a text without an end": "yes ready | tr -d '\\n' >&3",
};

for (const [what, command] of Object.entries(lines)) {
  test(`[${runtime}] Upgrader takes a successor that writes ${what} for not ready`, async () => {
    const upgrader = { readyTimeout: 30_000, command: ["sh", "-c", `${command}; sleep 30`] };
    const service = await Service.start({ servers, upgrader });
    await failToRestart(service, /UpgradeError: The new process wrote ".*" to the pipe/);
    assertEquals(await service.end(), 0);
    await service.gone();
  });
}

test(`[${runtime}] Upgrader keeps serving when a successor cannot be started`, async () => {
  const command = ["/nonexistent/program"];
  const service = await Service.start({ servers, upgrader: { command } });
  const message = /UpgradeError: Cannot start the new process with "\/nonexistent\/program"/;
  await failToRestart(service, message);
  const before = await countDescriptors(service.pid);
  service.program.output = service.program.output.replaceAll("UpgradeError", "earlier error");
  await failToRestart(service, message);
  // Deno itself loses one end of a pipe to a program that it cannot start.
  const lost = runtime === "deno" && hasProc ? 1 : 0;
  assertEquals(await countDescriptors(service.pid), before + lost, "descriptors");
  assertEquals(await service.end(), 0);
});

/** A shell that starts the service, and then does something else; the descriptors go through it. */
function wrapped(last: string, mishap: string, separator = ";"): string[] {
  const plan = JSON.stringify({ servers, mishap });
  const words = [...commandOf(join(import.meta.dirname!, "..", "programs", "upgradable.ts")), plan];
  return ["sh", "-c", `${words.map((word) => `'${word}'`).join(" ")} ${separator} ${last}`];
}

if (hasProc) {
  test(`[${runtime}] Upgrader leaves nothing of a wrapper whose program hangs`, async () => {
    const file = join(temporaryFolder(), "wrapped");
    writeFileSync(file, "hangs");
    const readyTimeout = 1_500;
    // Its number is among those of the service, for the program has another.
    const command = wrapped('echo "starts: $$ ;"; exec sleep 600', file);
    const service = await Service.start({ servers, upgrader: { command, readyTimeout } });
    const { pid } = service;
    service.hup();
    await service.says(
      /UpgradeError: The new process did not reach graceful\(\) within readyTimeout \(1500 ms\)/,
    );
    assertEquals(service.pids.filter(isRunning), [pid]);
    assertEquals(await service.ask(), String(pid));
    assertEquals(await service.end(), 0);
  });

  test(`[${runtime}] Upgrader leaves nothing of a wrapper that has ended before its program`, async () => {
    const folder = temporaryFolder();
    const [file, end] = [join(folder, "wrapped"), join(folder, "end")];
    writeFileSync(file, "hangs");
    const command = wrapped(`until [ -e ${end} ]; do sleep 0.05; done; exit 1`, file, "&");
    const service = await Service.start({ servers, upgrader: { command } });
    const { pid } = service;
    service.hup();
    await service.says(/^starts: \d+ hangs;/m);
    writeFileSync(end, "");
    await service.says(/UpgradeError: The new process exited with code 1/);
    assertEquals(service.pids.filter(isRunning), [pid]);
    assertEquals(await service.ask(), String(pid));
    assertEquals(await service.end(), 0);
  });

  test(`[${runtime}] Upgrader ends what a wrapper has started at SIGTERM during an upgrade`, async () => {
    const file = join(temporaryFolder(), "wrapped");
    writeFileSync(file, "hangs");
    const service = await Service.start({
      servers,
      upgrader: { command: wrapped("sleep 600", file) },
    });
    const { pid } = service;
    service.hup();
    await service.says(/^starts: \d+ hangs;/m);
    process.kill(pid, "SIGTERM");
    assertEquals(await deadline(service.program.exit, SOON), 0);
    assertEquals(service.pids.filter(isRunning), []);
  });
}

test(`[${runtime}] Upgrader does not bring back a successor that dies when it is ready`, async () => {
  const service = await Service.start({ servers });
  const { pid } = service;
  service.nextMishap = "dies after ready";
  service.hup();
  await service.says(new RegExp(`^down: ${pid} upgraded 0;`, "m"));
  await deadline(service.program.exit, SOON);
  await service.gone();
});

test(`[${runtime}] Upgrader has the new process serve when the old one is killed meanwhile`, async () => {
  const service = await Service.start({ servers });
  const { pid } = service;
  service.nextMishap = "crashes after serve";
  service.hup();
  await service.says(/^starts: \d+ crashes after serve;/m);
  service.nextMishap = "";
  // Once more, with a successor that comes through.
  await service.says(/UpgradeError/);
  service.hup();
  await service.says(/^starts: \d+[\s\S]*^starts: \d+[\s\S]*^starts: (\d+) ;/m);
  process.kill(pid, "SIGKILL");
  const successor = service.pids.at(-1)!;
  await service.says(new RegExp(`^graceful: ${successor};`, "m"));
  assertEquals(await service.ask(), String(successor));
  assertEquals(await service.end(), "SIGKILL", "of the first process");
  await service.says(new RegExp(`^down: ${successor} SIGTERM 0;`, "m"));
});

test(`[${runtime}] Upgrader keeps a unix socket that a successor closes`, async () => {
  const path = join(temporaryFolder(), "socket");
  const service = await Service.start({ servers: [{ path, handoff: "auto" }] });
  service.nextMishap = "closes and exits";
  await failToRestart(service, /UpgradeError: The new process exited with code 1/);
  assert(existsSync(path));
  assertEquals(await service.ask(), String(service.pid));
  assertEquals(await service.end(), 0);
  assert(!existsSync(path));
});

test(`[${runtime}] Upgrader takes a successor that was ready in time, though the process was held up`, async () => {
  const readyTimeout = 1_500;
  const service = await Service.start({ servers, upgrader: { readyTimeout } });
  const { pid } = service;
  service.hup();
  await service.says(/^starts: \d+[\s\S]*^starts: \d+/m);
  process.kill(pid, "SIGSTOP");
  await service.says(/^graceful: \d+[\s\S]*^graceful: \d+/m);
  // Past the deadline: it is the time that matters here.
  await sleep(readyTimeout + 100);
  process.kill(pid, "SIGCONT");
  await service.says(new RegExp(`^down: ${pid} upgraded 0;`, "m"));
  assertEquals(await service.ask(), String(service.pid));
  assertEquals(await service.end(), 0);
});

test(`[${runtime}] Upgrader restarts a process that has set its title, or says why not`, async () => {
  const service = await Service.start({ servers, title: "a-service" });
  if (runtime === "deno") {
    // Deno tells neither its options nor its permissions.
    await failToRestart(service, /UpgradeError: Cannot upgrade as 'command' must be given/);
  } else {
    await service.restart();
    assertEquals(await service.ask(), String(service.pid));
    // The title of Bun leaves the command as it was.
    const isGuess = runtime === "node";
    assertEquals(service.program.output.includes("does not report the command"), isGuess);
  }
  assertEquals(await service.end(), 0);
});

test(`[${runtime}] Upgrader ends both processes at SIGTERM during an upgrade`, async () => {
  const service = await Service.start({ servers });
  const { pid } = service;
  service.nextMishap = "hangs";
  service.hup();
  await service.says(/^starts: \d+ hangs;/m);
  process.kill(pid, "SIGTERM");
  assertEquals(await deadline(service.program.exit, SOON), 0);
  await service.gone();
  assert(!service.program.output.includes("UpgradeError"), "it was given up, and has not failed");
  assert(new RegExp(`^down: ${pid} SIGTERM 0;`, "m").test(service.program.output));
});

test(`[${runtime}] Upgrader cuts nothing off at SIGTERM during the drain after an upgrade`, async () => {
  const service = await Service.start({ servers });
  const { pid } = service;
  const slow = await service.request("/wait");
  await service.says(/arrived: \/wait/);
  service.hup();
  while (await service.ask() === String(pid));
  process.kill(pid, "SIGTERM");
  // It would cut the request off by then.
  await sleep(200);
  service.release(pid);
  assertEquals((await deadline(slow.response(), SOON)).body, String(pid));
  await service.says(new RegExp(`^down: ${pid} upgraded 0;`, "m"));
  assertEquals(await service.end(), 0);
});

test(`[${runtime}] Upgrader ignores the second of two signals during an upgrade, and says so`, async () => {
  const service = await Service.start({ servers, upgrader: { readyTimeout: 1_500 } });
  service.nextMishap = "hangs";
  service.hup();
  await service.says(/^starts: \d+ hangs;/m);
  service.hup();
  await service.says(/SIGHUP ignored: an upgrade is under way/);
  await service.says(/UpgradeError: The new process did not reach graceful/);
  assertEquals(service.pids.length, 2);
  assertEquals(await service.end(), 0);
});

test(`[${runtime}] Upgrader keeps signals until the predecessor has drained, as a single one`, async () => {
  const service = await Service.start({ servers });
  const first = service.pid;
  const slow = await service.request("/wait");
  await service.says(/arrived: \/wait/);
  service.hup();
  while (await service.ask() === String(first));
  const second = service.pid;
  service.hup();
  // It would start the third one by then.
  await sleep(200);
  service.hup();
  await sleep(200);
  service.release(first);
  assertEquals((await deadline(slow.response(), SOON)).body, String(first));
  await service.says(new RegExp(`^down: ${second} upgraded 0;`, "m"));
  const { output } = service.program;
  assert(output.indexOf(`down: ${first}`) < output.indexOf(`starts: ${service.pid}`), output);
  assertEquals(await service.end(), 0);
  assertEquals(service.pids.length, 3, output);
});

test(`[${runtime}] Upgrader writes the PID file of the process which serves`, async () => {
  const pidFile = join(temporaryFolder(), "pid");
  const service = await Service.start({ servers, upgrader: { pidFile } });
  await service.ask();
  const read = () => Number(readFileSync(pidFile, "utf8"));
  assertEquals(read(), service.pid);
  const pid = await service.restart();
  assertEquals(read(), pid);
  service.nextMishap = "crashes at once";
  await failToRestart(service, /UpgradeError/);
  assertEquals(read(), pid);
  assertEquals(await service.end(), 0);
  assert(!existsSync(pidFile));
});
