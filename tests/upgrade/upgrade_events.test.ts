/** An upgrade tells what it does: what is started, what it waits for, when the successor serves. */
import { test } from "node:test";
import { mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { runtime } from "../support/fixture.ts";
import { RecordedService } from "../support/recorded_service.ts";

test(`[${runtime}] graceful() tells of an upgrade: started, ready with the successor, and the end`, async () => {
  const service = new RecordedService();
  service.start(service.command[0]!, ...service.command.slice(1));
  const pid = await service.says(/^\d+ serves$/m);
  process.kill(pid, "SIGHUP");
  await service.says(new RegExp(`^${pid} ended$`, "m"));
  const [, successor] = new RegExp(`^${pid} upgrade-ready (\\d+)$`, "m").exec(service.text)!;
  const events = service.text.split("\n").filter((line) => line.startsWith(`${pid} `));
  assertEquals(events.slice(2, 5), [
    `${pid} upgrade-started ${service.file}`,
    `${pid} upgrade-ready ${successor}`,
    `${pid} ending upgraded`,
  ]);
  process.kill(Number(successor), "SIGTERM");
  await service.says(new RegExp(`^${successor} ended$`, "m"));
});

test(`[${runtime}] Upgrader lets no SIGHUP end a successor that has not reached graceful()`, async () => {
  const service = new RecordedService();
  service.start(service.command[0]!, ...service.command.slice(1), "slow");
  const pid = await service.says(/^\d+ serves$/m);
  process.kill(pid, "SIGHUP");
  const successor = await service.says(new RegExp(`^(?!${pid} )\\d+ claims$`, "m"));
  process.kill(successor, "SIGHUP");
  await service.says(new RegExp(`^${pid} upgrade-ready ${successor}$`, "m"));
  await service.says(new RegExp(`^${pid} ended$`, "m"));
  process.kill(successor, "SIGTERM");
  await service.says(new RegExp(`^${successor} ended$`, "m"));
});

test(`[${runtime}] Upgrader starts another successor if a SIGHUP has ended the first before it loaded the package`, async () => {
  const service = new RecordedService();
  service.start(service.command[0]!, ...service.command.slice(1));
  const pid = await service.says(/^\d+ serves$/m);
  const loaded = `${service.program}.service.mts`;
  const marks = join(service.folder, "marks");
  renameSync(service.program, loaded);
  writeFileSync(
    service.program,
    `
import { appendFileSync, readFileSync } from "node:fs";
import process from "node:process";
appendFileSync(${JSON.stringify(marks)}, "x");
if (readFileSync(${JSON.stringify(marks)}, "utf8") === "x") {
  process.kill(process.pid, "SIGHUP");
  await new Promise(() => setInterval(() => {}, 60_000));
}
await import(${JSON.stringify(loaded)});
`,
  );
  process.kill(pid, "SIGHUP");
  await service.says(new RegExp(`^${pid} ended$`, "m"));
  const successor = await service.says(new RegExp(`^(?!${pid} )\\d+ serves$`, "m"));
  assert(!service.text.includes("failed"), service.text);
  assertEquals(readFileSync(marks, "utf8"), "xx");
  process.kill(successor, "SIGTERM");
  await service.says(new RegExp(`^${successor} ended$`, "m"));
});

test(`[${runtime}] Upgrader says that the folder of the start is gone`, async () => {
  const service = new RecordedService();
  const folder = join(service.folder, "release");
  mkdirSync(folder);
  const { PWD: _, ...env } = process.env;
  const [command = "", ...args] = service.command;
  const child = spawn(command, args, { cwd: folder, stdio: "ignore", env });
  const pid = await service.says(/^\d+ serves$/m);
  rmdirSync(folder);
  process.kill(pid, "SIGHUP");
  await service.says(
    new RegExp(`^${pid} failed .*the folder to start it in does not exist: .*release`, "m"),
  );
  process.kill(pid, "SIGTERM");
  await once(child, "exit");
});

test(`[${runtime}] graceful() writes a line for each step of an upgrade`, async () => {
  const service = new RecordedService();
  const child = service.start(service.command[0]!, ...service.command.slice(1), "default-log");
  const output = text(child.stderr!);
  const pid = await service.says(/^\d+ serves$/m);
  process.kill(pid, "SIGHUP");
  const successor = await service.says(new RegExp(`^(?!${pid} )\\d+ serves$`, "m"));
  await service.says(new RegExp(`^${pid} ended$`, "m"));
  process.kill(successor, "SIGTERM");
  await service.says(new RegExp(`^${successor} ended$`, "m"));
  const lines = await output;
  assertStringIncludes(lines, 'graceful: upgrading: starting "');
  assertMatch(
    lines,
    new RegExp(`graceful: the successor, process ${successor}, serves after [\\d.]+ m?s\n`),
  );
  assert(lines.indexOf("upgrading") < lines.indexOf("the successor"));
});
