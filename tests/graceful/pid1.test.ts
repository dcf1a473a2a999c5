/**
 * A service that is process 1, as in a container: one in a PID namespace of its own. The kernel
 * keeps from such a process every signal that it has no handler for, SIGKILL from outside excepted.
 */
import { test } from "node:test";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { engines, runtime } from "../support/fixture.ts";
import { pidNamespace } from "../support/pid_namespace.ts";
import { commandOf, isRunning, Program } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;

const { flags, obstacle } = pidNamespace;

/** Under a name that says why, a test that cannot run here is skipped. */
function testAsFirst(what: string, run: () => Promise<void>): void {
  const name = `[${runtime}, process 1] ${what}`;
  if (obstacle === undefined) test(name, run);
  else test(`${name} (skipped: ${obstacle})`, { skip: true });
}

/** A service that is the first process of its namespace. */
class FirstProcess {
  readonly #program: Program;

  /** Starts it, with so many milliseconds for its drain. */
  constructor(timeout: number) {
    const file = fileURLToPath(new URL("../programs/first_process.ts", import.meta.url));
    const command = [...commandOf(file), engines[0]!, String(timeout)];
    this.#program = new Program(
      spawn("unshare", [...flags, ...command], { stdio: ["pipe", "pipe", "pipe"] }),
    );
  }

  /** Lets it start what it is. */
  begin(): void {
    this.#program.child.stdin!.end();
  }

  get output(): string {
    return this.#program.output;
  }

  /** Resolves with its exit code: `unshare` ends with that of its child. */
  get exit(): Promise<number | string> {
    return deadline(this.#program.exit, SOON);
  }

  /** Its number outside of its namespace. */
  get pid(): number {
    const parent = this.#program.child.pid;
    return Number(readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim());
  }

  says(pattern: RegExp): Promise<string> {
    return deadline(this.#program.says(pattern), SOON);
  }

  /** Has it begin, asks for the path, and waits until the handler has the request. */
  async asked(path: string): Promise<RawClient> {
    this.begin();
    const port = Number(await this.says(/port: (\d+);/));
    const addr: Addr = { transport: "tcp", hostname: "127.0.0.1", port };
    const client = await connect(addr);
    client.write(request(path));
    await this.says(new RegExp(`arrived: ${path}`));
    return client;
  }

  /** Sends a signal from outside, as the container's runtime does. */
  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name);
  }
}

for (const name of ["SIGTERM", "SIGINT"] as const) {
  testAsFirst(`graceful() drains at ${name}, and exits 0`, async () => {
    const service = new FirstProcess(15_000);
    const client = await service.asked("/wait");
    const { pid } = service;
    service.signal(name);
    assertEquals((await deadline(client.response(), SOON)).body, "drained");
    await deadline(client.closed, SOON);
    assertEquals(await service.exit, 0, service.output);
    assertStringIncludes(service.output, `cause: ${name}, forced: false\n`);
    assert(!isRunning(pid), "it is gone");
  });
}

testAsFirst("graceful() cuts off a stuck request at the deadline, and exits 1", async () => {
  const service = new FirstProcess(300);
  const client = await service.asked("/stuck");
  service.signal("SIGTERM");
  await deadline(client.closed, SOON);
  assertEquals(await service.exit, 1, service.output);
  assertStringIncludes(service.output, "cause: SIGTERM, forced: true\n");
});

testAsFirst("graceful() ends at once at a second SIGTERM", async () => {
  const service = new FirstProcess(15_000);
  await service.asked("/stuck");
  service.signal("SIGTERM");
  await service.says(/hook/);
  // The first ones are copies of the one that has started the end.
  const timer = setInterval(() => service.signal("SIGTERM"), 100);
  const exit = await service.exit;
  clearInterval(timer);
  assertEquals(exit, 128 + 15, service.output);
  assert(!service.output.includes("cleanup"), service.output);
});

testAsFirst("graceful() hears nothing of a signal that came before it was called", async () => {
  const service = new FirstProcess(15_000);
  await service.says(/process 1/);
  service.signal("SIGTERM");
  const client = await service.asked("/wait");
  service.signal("SIGTERM");
  assertEquals((await deadline(client.response(), SOON)).body, "drained");
  assertEquals(await service.exit, 0, service.output);
});
