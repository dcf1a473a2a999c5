/** `graceful run` under a service manager: its messages, its watchdog and its sockets. */
import { test } from "node:test";
import { spawn } from "node:child_process";
import { builtinModules } from "node:module";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { listen } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { installed } from "../../support/installed.ts";
import { commandOf as workerOf } from "../../support/runtimes.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { withReceiver } from "../support/notify_receiver.ts";
import { commandOf, Program } from "../support/process.ts";
import { SOON, STARTED, SupervisedService } from "../support/supervised.ts";

/** Node before 26.1 needs a program that tells systemd. */
const canNotify = runtime !== "node" || builtinModules.includes("node:ffi") ||
  installed("systemd-notify") !== undefined;

function testMessages(what: string, run: () => Promise<void>): void {
  const name = `[${runtime}] ${what}`;
  if (process.platform === "linux" && canNotify) test(name, run);
  else test(`${name} (skipped: this runtime cannot send datagrams here)`, { skip: true });
}

testMessages("graceful run tells systemd what it does, and its workers do not", async () => {
  const address = join(temporaryFolder(), "notify");
  await withReceiver(address, async (receiver) => {
    receiver.read();
    const service = await SupervisedService.start({
      args: ["--workers=2", "--min-uptime=0.1"],
      env: { NOTIFY_SOCKET: address },
    });
    const text = async (number: number) => (await receiver.datagram(number)).text;
    assertEquals(await text(1), "READY=1");
    await service.reload(2);
    assert(/^RELOADING=1\nMONOTONIC_USEC=\d+$/.test(await text(2)));
    assertEquals(await text(3), "READY=1\nSTATUS=generation 2 serves");
    service.mishap = "exits with 3";
    service.program.signal("SIGHUP");
    await service.says(/generation 3 has failed/);
    assert((await text(4)).startsWith("RELOADING=1\n"));
    assertEquals(await text(5), "READY=1\nSTATUS=generation 2 serves");
    service.program.signal("SIGTERM");
    assertEquals(await text(6), "STOPPING=1");
    assertEquals(await deadline(service.program.exit, SOON), 0, service.output);
    await service.gone(service.pids);
  });
});

testMessages("graceful run feeds the watchdog", async () => {
  const address = join(temporaryFolder(), "notify");
  await withReceiver(address, async (receiver) => {
    receiver.read();
    const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: "200000" };
    const service = await SupervisedService.start({ env });
    const texts: string[] = [];
    const count = (text: string) => texts.filter((other) => other === text).length;
    for (let number = 1; count("WATCHDOG=1") < 7 || count("READY=1") < 1; number++) {
      texts.push((await receiver.datagram(number)).text);
    }
    assertEquals(count("WATCHDOG=1") + count("READY=1"), texts.length, `${texts}`);
    assertEquals(count("READY=1"), 1);
    assertEquals(await service.end(), 0, service.output);
  });
});

test(`[${runtime}] graceful run passes on what systemd listens on, with its name`, async () => {
  const listener = await listen({ port: 0, hostname: "127.0.0.1" });
  // Makes it listen, on Node.
  const holder = net.createServer();
  await new Promise<void>((resolve) => holder.listen({ fd: listener.fd }, resolve));
  const script = `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec "$@"`;
  const cli = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
  const plan = { servers: [{ socketName: "web" }], graceful: { idleGrace: 100 } };
  const start = (...command: string[]) =>
    new Program(
      spawn("sh", ["-c", script, "sh", ...commandOf(cli), "run", "--workers=2", "--", ...command], {
        stdio: ["ignore", "pipe", "pipe", listener.fd],
      }),
      STARTED,
    );
  const worker = new URL("../programs/supervised.ts", import.meta.url);
  const program = start(...workerOf(runtime, worker), JSON.stringify(plan));
  const foreign = start(
    ...workerOf("node", new URL("../programs/listen_fds.ts", import.meta.url)),
    "notify",
  );
  await deadline(program.says(/generation 1 serves/), SOON);
  await deadline(foreign.says(/fds: 1 true web;/), SOON);
  await deadline(foreign.says(/generation 1 serves/), SOON);
  holder.close();
  const client = await connect(listener.addr);
  client.write(request("/", "Connection: close"));
  const { body } = await deadline(client.response(), SOON);
  assert(`${program.output}${foreign.output}`.includes(`(process ${body}) was started`), body);
  for (const each of [program, foreign]) {
    each.signal("SIGTERM");
    assertEquals(await deadline(each.exit, SOON), 0, each.output);
  }
  listener.close();
});
