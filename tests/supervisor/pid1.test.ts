/** `graceful run` as process 1 of a PID namespace, as in a container: it reaps what others have left to it. */
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { until } from "../../support/until.ts";
import { runtime } from "../support/fixture.ts";
import { pidNamespace } from "../support/pid_namespace.ts";
import { isRunning } from "../support/process.ts";
import { SOON, SupervisedService } from "../support/supervised.ts";

const { flags, obstacle } = pidNamespace;
const cannotReap = runtime === "node" && !builtinModules.includes("node:ffi")
  ? "Node reaps no such processes before 26.1"
  : undefined;

function testAsFirst(what: string, run: () => Promise<void>, skip = obstacle): void {
  const name = `[${runtime}, process 1] ${what}`;
  if (skip === undefined) test(name, run);
  else test(`${name} (skipped: ${skip})`, { skip: true });
}

/** The process id of process 1, outside of its namespace. */
function firstOf(unshare: number): number {
  return Number(readFileSync(`/proc/${unshare}/task/${unshare}/children`, "utf8").trim());
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return text === "" ? [] : text.split(" ").map(Number);
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  testAsFirst(`graceful run replaces its workers, and ends at ${signal}`, async () => {
    const service = await SupervisedService.start({
      wrapper: ["unshare", ...flags],
      args: ["--workers=2", "--min-uptime=0.1"],
    });
    const first = firstOf(service.program.child.pid!);
    assertEquals((await service.status()).pid, 1);
    process.kill(first, "SIGHUP");
    await service.says(/generation 2 serves/);
    process.kill(first, signal);
    assertEquals(await deadline(service.program.exit, SOON), 0, service.output);
    assert(!isRunning(first));
  });
}

testAsFirst("graceful run leaves no zombie", async () => {
  // A worker whose children lose their parent, and end.
  const script = "while :; do (sleep 0.1 &); sleep 0.05; done";
  const service = await SupervisedService.start({
    wrapper: ["unshare", ...flags],
    command: ["sh", "-c", script],
  });
  const first = firstOf(service.program.child.pid!);
  const seen = new Set<number>();
  await until(() => `only ${seen.size} orphans came`, () => {
    for (const pid of childrenOf(first)) seen.add(pid);
    return seen.size > 40 ? true : undefined;
  });
  // Each is reaped within a second or so, and 20 come in a second.
  assert(childrenOf(first).length < 40, `${childrenOf(first).length} children`);
  process.kill(first, "SIGTERM");
  await deadline(service.program.exit, SOON);
}, obstacle ?? cannotReap);
