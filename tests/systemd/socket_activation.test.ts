/** Sockets that systemd has opened: passed by its own `systemd-socket-activate`, and as that does it. */
import { test } from "node:test";
import { spawn } from "node:child_process";
import net from "node:net";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { type Addr, listen } from "../../mod.ts";
import type { Plan } from "../programs/upgradable.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { SOON } from "../support/generations.ts";
import { freePort } from "../../support/ports.ts";
import { installed } from "../../support/installed.ts";
import { commandOf, Program } from "../support/process.ts";

const ACTIVATE = "systemd-socket-activate";

/** Has systemd listen; the service starts with the first connection. */
async function activated(
  plan: Plan,
  listen: readonly string[],
  names: readonly string[],
): Promise<Program> {
  const file = new URL("../programs/upgradable.ts", import.meta.url).pathname;
  const program = new Program(
    spawn(installed(ACTIVATE)!, [
      ...listen.map((where) => `--listen=${where}`),
      ...(names.length > 0 ? [`--fdname=${names.join(":")}`] : []),
      ...commandOf(file),
      JSON.stringify(plan),
    ], { stdio: ["ignore", "pipe", "pipe"] }),
  );
  for (const where of listen) {
    await deadline(program.says(new RegExp(`Listening on ${where} as`)), SOON);
  }
  return program;
}

async function ask(client: RawClient, path: string): Promise<string> {
  client.write(request(path, "Connection: close"));
  return (await deadline(client.response(), SOON)).body;
}

function testActivation(what: string, run: () => Promise<void>): void {
  const name = `[${runtime}] ${what}`;
  if (installed(ACTIVATE) !== undefined) test(name, run);
  else test(`${name} (skipped: ${ACTIVATE} is not installed)`, { skip: true });
}

testActivation(
  "serve() finds the sockets of systemd by their names, in each generation",
  async () => {
    const port = await freePort();
    const path = join(temporaryFolder(), "admin");
    const web: Addr = { transport: "tcp", hostname: "127.0.0.1", port };
    const admin: Addr = { transport: "unix", path };
    const program = await activated(
      // In another order than they are passed in, and with an address that is not theirs.
      {
        servers: [
          { socketName: "admin", handoff: "auto" },
          { socketName: "web", handoff: "auto", port: 1 },
        ],
      },
      [`127.0.0.1:${port}`, path],
      ["web", "admin"],
    );
    const first = await connect(web);
    const up = /^up: (\d+) \S+ inherit (.*);\nup: \1 \S+ inherit (.*);$/m;
    await deadline(program.says(up), SOON);
    const [, pid, adminAddr, webAddr] = up.exec(program.stdout)!;
    assertEquals([JSON.parse(adminAddr!), JSON.parse(webAddr!)], [admin, web]);
    const keys: string[] = JSON.parse(await ask(first, "/env"));
    assertEquals(keys.filter((key) => key.startsWith("LISTEN_")), []);
    assertEquals(await ask(await connect(admin), "/"), pid);

    await deadline(program.says(/^graceful: /m), SOON);
    process.kill(Number(pid), "SIGHUP");
    await deadline(program.says(/^down: \d+ upgraded 0;/m), SOON);
    const next = await ask(await connect(web), "/");
    assert(next !== pid);
    assertEquals(await ask(await connect(admin), "/"), next);
    process.kill(Number(next), "SIGTERM");
    await deadline(program.exit, SOON);
  },
);

testActivation("serve() finds a socket without a name of ours by its address", async () => {
  const port = await freePort();
  const addr: Addr = { transport: "tcp", hostname: "127.0.0.1", port };
  const program = await activated(
    // There is none of this name.
    { servers: [{ port, hostname: "127.0.0.1", socketName: "admin", handoff: "auto" }] },
    [`127.0.0.1:${port}`],
    [],
  );
  const client = await connect(addr);
  const pid = await deadline(program.says(/^graceful: (\d+);/m), SOON);
  assertEquals(await ask(client, "/"), pid);
  process.kill(Number(pid), "SIGTERM");
  assertEquals(await deadline(program.exit, SOON), 0);
});

/** Starts the service with a socket of ours as its descriptor 3, as systemd does. */
function activate(fd: number, plan: object): Program {
  const script = `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec "$@"`;
  const file = new URL("../programs/upgradable.ts", import.meta.url).pathname;
  return new Program(
    spawn("sh", ["-c", script, "sh", ...commandOf(file), JSON.stringify(plan)], {
      stdio: ["ignore", "pipe", "pipe", fd],
    }),
  );
}

test(`[${runtime}] serve() takes over what systemd listens on, and hands it on`, async () => {
  const listener = await listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr as { port: number };
  // Makes it listen, on Node.
  const holder = net.createServer();
  await new Promise<void>((resolve) => holder.listen({ fd: listener.fd }, resolve));
  const servers = [{ port, hostname: "127.0.0.1", handoff: "auto" }];
  const program = activate(listener.fd, { servers });
  await deadline(program.says(/^graceful: (\d+);/m), SOON);
  holder.close();
  assertEquals(
    await ask(await connect(listener.addr), "/"),
    await program.says(/^graceful: (\d+);/m),
  );
  program.signal("SIGHUP");
  await deadline(program.says(/^down: \d+ upgraded 0;/m), SOON);
  const pid = await ask(await connect(listener.addr), "/");
  assert(pid !== String(program.child.pid));
  process.kill(Number(pid), "SIGTERM");
  await deadline(program.exit, SOON);
  listener.close();
});
