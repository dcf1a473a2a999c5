/** What a service manager hears of a process's life: a receiver of datagrams stands in for systemd. */
import { test } from "node:test";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { watchdog } from "../../src/systemd/mod.ts";
import type { Plan } from "../programs/upgradable.ts";
import { Ending, SOON } from "../support/ending.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { type Receiver, withReceiver } from "../support/notify_receiver.ts";
import { commandOf, Program, run } from "../support/process.ts";

/** In µs: WATCHDOG_USEC. */
const OFTEN = "200000";

/** Has a manager listen at an address for as long as the function runs. */
async function withManager(
  use: (receiver: Receiver, env: NodeJS.ProcessEnv) => Promise<void>,
): Promise<void> {
  const address = join(temporaryFolder(), "notify");
  await withReceiver(address, async (receiver) => {
    receiver.read();
    await use(receiver, { NOTIFY_SOCKET: address });
  });
}

/** The messages up to the nth one of these. */
async function messages(
  receiver: Receiver,
  isLast: (text: string) => boolean,
  count = 1,
): Promise<string[]> {
  const texts: string[] = [];
  while (texts.filter(isLast).length < count) {
    const { text } = await receiver.datagram(texts.length + 1);
    texts.push(text);
  }
  return texts;
}

function testWithManager(what: string, run: () => Promise<void>): void {
  const name = `[${runtime}, service manager] ${what}`;
  if (process.platform === "linux") test(name, run);
  else test(`${name} (skipped: not on Linux)`, { skip: true });
}

testWithManager(
  "graceful() tells when it is ready, when it stops, and how long that takes",
  async () => {
    await withManager(async (receiver, env) => {
      const options = { drainDelay: 100, timeout: 7_000, cleanupTimeout: 2_000, exit: 500 };
      const ending = await Ending.start({ servers: ["auto"], graceful: options }, env);
      assertEquals((await receiver.datagram(1)).text, "READY=1");
      ending.program.signal("SIGTERM");
      // Each with 5 s beyond the deadlines.
      const stopping = "STOPPING=1\nEXTEND_TIMEOUT_USEC=12100000";
      assertEquals((await receiver.datagram(2)).text, stopping);
      // Not less than has been told before.
      const { text } = await receiver.datagram(3);
      const left = Number(/^EXTEND_TIMEOUT_USEC=(\d+)$/.exec(text)?.[1]);
      assert(left > 11_000_000 && left < 12_000_000, text);
      assertEquals(await ending.exit(), 0);
    });
  },
);

testWithManager("graceful() does not tell of a stop while another call of it serves", async () => {
  await withManager(async (receiver, env) => {
    const ending = await Ending.start(
      { servers: ["auto", "auto"], apart: 7_000, graceful: { exit: 0 } },
      { ...env, WATCHDOG_USEC: OFTEN },
    );
    const server = await ending.request("/close");
    await ending.says(/^down: finished 0 0 0;/m);
    await deadline(server.closed, SOON);
    const isFed = (text: string) => text === "WATCHDOG=1";
    const sofar = await messages(receiver, isFed, 3);
    const fed = await messages(receiver, isFed, sofar.filter(isFed).length + 3);
    assertEquals(fed.filter((text) => text.startsWith("STOPPING")), []);
    ending.program.signal("SIGTERM");
    const all = await messages(receiver, (text) => text.startsWith("STOPPING=1"));
    assert(all.length > fed.length);
    assertEquals(await ending.exit(), 0);
  });
});

testWithManager("graceful() ends all the same when the manager is gone", async () => {
  const ending = await Ending.start(
    { servers: ["auto"] },
    { NOTIFY_SOCKET: join(temporaryFolder(), "nobody") },
  );
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 0);
  const failed = ending.events.find((event) => event.type === "failed");
  assertEquals(failed?.what, "telling systemd");
});

testWithManager("graceful() feeds the watchdog, in the drain too", async () => {
  await withManager(async (receiver, env) => {
    const ending = await Ending.start({ servers: ["auto"] }, { ...env, WATCHDOG_USEC: OFTEN });
    const client = await ending.inFlight("/gate");
    const isFed = (text: string) => text === "WATCHDOG=1";
    assertEquals(new Set(await messages(receiver, isFed, 3)), new Set(["READY=1", "WATCHDOG=1"]));
    ending.program.signal("SIGTERM");
    const before = await messages(receiver, (text) => text.startsWith("STOPPING=1"));
    const all = await messages(receiver, isFed, before.filter(isFed).length + 2);
    assert(all.slice(before.length).every(isFed), JSON.stringify(all));
    client.vanish();
    assertEquals(await ending.exit(), 0);
  });
});

testWithManager("graceful() does not feed a watchdog of another process", async () => {
  await withManager(async (receiver, env) => {
    const ending = await Ending.start(
      { servers: ["auto"], graceful: { drainDelay: 500 } },
      { ...env, WATCHDOG_USEC: OFTEN, WATCHDOG_PID: "1" },
    );
    ending.program.signal("SIGTERM");
    assertEquals(await ending.exit(), 0);
    const texts = await messages(receiver, (text) => text.startsWith("EXTEND_TIMEOUT_USEC"));
    assertEquals(texts.length, 3);
  });
});

testWithManager(
  "graceful() hands the watchdog on in a restart, and does not stop the service",
  async () => {
    await withManager(async (receiver, env) => {
      const file = fileURLToPath(new URL("../programs/upgradable.ts", import.meta.url));
      const plan: Plan = {
        servers: [{ port: 0, hostname: "127.0.0.1", handoff: "auto" }],
        // Longer than the test: there is no lame duck where a successor serves.
        graceful: { drainDelay: 600_000 },
      };
      // As systemd sets them.
      const script = `WATCHDOG_PID=$$ WATCHDOG_USEC=${OFTEN} exec "$@"`;
      const program = new Program(
        spawn("sh", ["-c", script, "sh", ...commandOf(file), JSON.stringify(plan)], {
          env: { ...process.env, ...env },
          stdio: ["ignore", "pipe", "pipe"],
        }),
      );
      await deadline(program.says(/^graceful: (\d+);/m), SOON);
      program.signal("SIGHUP");
      await deadline(program.says(/^down: \d+ upgraded 0;/m), SOON);
      const pid = [...program.output.matchAll(/^starts: (\d+)/gm)].at(-1)![1];
      const before = await messages(receiver, (text) => text === `MAINPID=${pid}\nREADY=1`);
      const isFed = (text: string) => text === "WATCHDOG=1";
      // More than the predecessor can have sent while it drained.
      await messages(receiver, isFed, before.filter(isFed).length + 15);
      process.kill(Number(pid), "SIGTERM");
      const all = await messages(receiver, (text) => text.startsWith("STOPPING=1"));
      assert(all.length > before.length + 15, "the predecessor has not sent these messages");
      process.kill(Number(pid), "SIGKILL");
      await deadline(program.exit, SOON);
    });
  },
);

testWithManager(
  "graceful() tells that an upgrade is over before the stop that gives it up",
  async () => {
    await withManager(async (receiver, env) => {
      const mishap = join(temporaryFolder(), "mishap");
      writeFileSync(mishap, "");
      const plan: Plan = { servers: [{ port: 0, hostname: "127.0.0.1", handoff: "auto" }], mishap };
      const program = run("upgradable.ts", [JSON.stringify(plan)], undefined, env);
      await deadline(program.says(/^graceful: (\d+);/m), SOON);
      writeFileSync(mishap, "hangs");
      program.signal("SIGHUP");
      await deadline(program.says(/^starts: \d+ hangs;/m), SOON);
      program.signal("SIGTERM");
      assertEquals(await deadline(program.exit, SOON), 0);
      const all = await messages(receiver, (text) => text.startsWith("STOPPING=1"));
      assertEquals(all.map((text) => text.split("\n")[0]), [
        "READY=1",
        "RELOADING=1",
        "READY=1",
        "STOPPING=1",
      ]);
      assert(!program.output.includes("upgrade failed"), program.output);
    });
  },
);

testWithManager(
  "graceful() tells of no stop of the service when its successor serves",
  async () => {
    await withManager(async (receiver, env) => {
      const local = { port: 0, hostname: "127.0.0.1" };
      const plan: Plan = {
        servers: [{ ...local, handoff: runtime === "node" ? "inherit" : "reuseport" }],
        graceful: { drainDelay: 600_000 },
      };
      const flags = ["--allow-all", "--unstable-net"];
      const program = run("upgradable.ts", [JSON.stringify(plan)], flags, env);
      await deadline(program.says(/^graceful: (\d+);/m), SOON);
      program.signal("SIGHUP");
      const [, pid] = await messages(receiver, (text) => text.startsWith("MAINPID=")).then((all) =>
        /^MAINPID=(\d+)/.exec(all.at(-1)!)!
      );
      // With SO_REUSEPORT its queue is still to settle.
      program.signal("SIGTERM");
      await deadline(program.says(/^down: \d+ (?:SIGTERM|upgraded) 0;/m), SOON);
      process.kill(Number(pid), "SIGTERM");
      const all = await messages(receiver, (text) => text.startsWith("STOPPING=1"));
      assert(all.at(-2)!.startsWith("MAINPID="), JSON.stringify(all));
      process.kill(Number(pid), "SIGKILL");
      await deadline(program.exit, SOON);
    });
  },
);

test(`[${runtime}] watchdog() is undefined without a watchdog`, async () => {
  assertEquals(watchdog(), undefined);
  // The cast: what a caller without a type checker may get wrong.
  const wrong = "check" as unknown as () => void;
  const feed = () => Promise.resolve().then(() => watchdog(wrong));
  await assertRejects(feed, TypeError, "Cannot feed the watchdog as 'check' must be a function");
});
