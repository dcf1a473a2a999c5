/** Restarts that lose nothing: what a successor takes over, and what its predecessor still does. */
import { test } from "node:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr, ServeOptions } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, pem, runtime, temporaryFolder } from "../support/fixture.ts";
import { run } from "../support/process.ts";
import { Service, SOON } from "../support/generations.ts";

const local = { port: 0, hostname: "127.0.0.1" } as const;

/** The ways to hand over a listener that this runtime has. */
const ways: readonly ServeOptions[] = [
  ...engines.map((engine) => ({ engine, handoff: "inherit" as const })),
  ...(runtime === "node"
    ? []
    : engines.map((engine) => ({ engine, handoff: "reuseport" as const }))),
];

const permissions = ["--allow-all", "--unstable-net"];

/** Resolves when a connection is refused. One that comes at the moment of the close may be reset. */
async function refuses(addr: Addr): Promise<void> {
  for (;;) {
    const client = await connect(addr).catch((error: Error) => error.message);
    if (typeof client !== "string") client.vanish();
    else if (client.includes("ECONNREFUSED")) return;
  }
}

for (const way of ways) {
  const name = `[${runtime}, ${way.engine}, ${way.handoff}]`;

  test(`${name} Upgrader restarts three times in a row, and each generation serves and ends`, async () => {
    const plan = { servers: [{ ...local, ...way }], graceful: { idleGrace: 100 } };
    const service = await Service.start(plan, permissions);
    for (let i = 0; i < 3; i++) {
      assertEquals(await service.ask(), String(service.pid));
      const old = service.pid;
      const pid = await service.restart();
      assert(pid !== old, "another process");
      assertEquals(service.servers(pid), [{ ...way, addr: service.addr } as never]);
    }
    assertEquals(await service.ask(), String(service.pid));
    const { addr } = service;
    assertEquals(await service.end(), 0);
    await service.gone();
    await assertRejects(() => connect(addr), Error, "ECONNREFUSED");
  });

  test(`${name} Upgrader lets the predecessor end what it has begun, while the successor serves`, async () => {
    const plan = { servers: [{ ...local, ...way }], graceful: { idleGrace: 100 } };
    const service = await Service.start(plan, permissions);
    const old = service.pid;
    const slow = await service.request("/wait");
    await service.says(/arrived: \/wait/);
    const upload = await connect(service.addr);
    upload.write(request("POST /upload", "Content-Length: 10") + "half ");
    const idle = await connect(service.addr);
    idle.write(request("/"));
    assertEquals((await deadline(idle.response(), SOON)).body, String(old));
    service.hup();
    await service.says(/^graceful: (?!.*graceful: )(\d+);[\s\S]*^graceful: (\d+);/m);
    while (await service.ask() === String(old));
    upload.write("other");
    assertEquals((await deadline(upload.response(), SOON)).body, String(old));
    service.release(old);
    assertEquals((await deadline(slow.response(), SOON)).body, String(old));
    await service.says(new RegExp(`^down: ${old} upgraded 0;`, "m"));
    assertEquals(await service.ask(), String(service.pid));
    const last = await connect(service.addr);
    last.write(request("POST /upload", "Content-Length: 10") + "half ");
    await service.says(new RegExp(`arrived: /upload by ${service.pid};`));
    const ended = service.end();
    await refuses(service.addr);
    assertEquals(last.received, "", "it is the drain that refuses, not the end");
    last.write("other");
    assertEquals((await deadline(last.response(), SOON)).body, String(service.pid));
    assertEquals(await ended, 0);
  });
}

/** Those whose engine keeps idle connections for a while: not Deno.serve. */
for (const engine of engines.filter((engine) => engine !== "deno-serve")) {
  test(`[${runtime}, ${engine}] Upgrader tells a kept-alive connection to move over`, async () => {
    const service = await Service.start({ servers: [{ ...local, engine, handoff: "inherit" }] });
    const old = service.pid;
    const client = await connect(service.addr);
    client.write(request("/"));
    await deadline(client.response(), SOON);
    service.hup();
    while (await service.ask() === String(old));
    // The new process answers a moment before the old one knows of it, and drains.
    for (let isLast = false; !isLast;) {
      client.write(request("/"));
      const { body, headers } = await deadline(client.response(), SOON);
      assertEquals(body, String(old));
      isLast = headers["connection"] === "close";
    }
    assertEquals(await deadline(client.closed, SOON), "end");
    assertEquals(await service.end(), 0);
  });
}

if (runtime !== "node") {
  test(`[${runtime}] Upgrader leaves a third process that shares the port its connections`, async () => {
    const start = (port: number) =>
      Service.start({ servers: [{ ...local, port, handoff: "reuseport" }] }, permissions);
    const service = await start(0);
    const bystander = await start((service.addr as { port: number }).port);
    for (let i = 0; i < 2; i++) {
      const pid = await service.restart();
      const both = new Set([String(pid), String(bystander.pid)]);
      while (both.size > 0) both.delete(await service.ask());
    }
    // One that joins later has the place that connections were steered to.
    const latecomer = await start((service.addr as { port: number }).port);
    const all = new Set([service, bystander, latecomer].map(({ pid }) => String(pid)));
    while (all.size > 0) all.delete(await service.ask());
    for (const each of [service, bystander, latecomer]) assertEquals(await each.end(), 0);
  });
}

test(`[${runtime}] Upgrader hands over several listeners, IPv6, unix and TLS among them`, async () => {
  const path = join(temporaryFolder(), "socket");
  const servers: ServeOptions[] = [
    { ...local, handoff: "auto" },
    { ...local, handoff: "auto" },
    { port: 0, hostname: "::1", handoff: "auto" },
    { path, handoff: "auto" },
    { ...local, handoff: "auto", ...pem },
  ];
  const service = await Service.start({ servers });
  const first = service.servers(service.pid);
  for (let i = 0; i < 2; i++) {
    const pid = await service.restart();
    assertEquals(service.servers(pid), first, "each where it was");
    for (const { addr } of first.slice(0, 4)) {
      assertEquals(await service.ask("/", addr), String(pid));
    }
    const tls = await connect(first[4]!.addr, { alpn: "http/1.1" });
    tls.write(request("/", "Connection: close"));
    assertEquals((await deadline(tls.response(), SOON)).body, String(pid));
    await deadline(tls.closed, SOON);
  }
  assert(existsSync(path), "the predecessors have left it");
  assertEquals(await service.end(), 0);
  assert(!existsSync(path), "the last one has not");
});

test(`[${runtime}] Upgrader ends several calls of graceful() together`, async () => {
  const servers = [{ ...local, handoff: "auto" }, { ...local, handoff: "auto" }] as const;
  const service = await Service.start({ servers, apart: true });
  for (let i = 0; i < 2; i++) {
    const old = service.pid;
    const pid = await service.restart();
    await service.says(new RegExp(`^apart: ${old} upgraded;`, "m"));
    for (const { addr } of service.servers(pid)) {
      assertEquals(await service.ask("/", addr), String(pid));
    }
  }
  assertEquals(await service.end(), 0);
});

test(`[${runtime}] Upgrader closes what the successor does not ask for, and warns`, async () => {
  const path = join(temporaryFolder(), "socket");
  const servers: ServeOptions[] = [local, local, { path }].map((where) => ({
    ...where,
    handoff: "auto",
  }));
  const service = await Service.start({ servers });
  const [kept, ...left] = service.servers(service.pid);
  service.nextMishap = "serves less";
  const pid = await service.restart();
  assertEquals(await service.ask("/", kept!.addr), String(pid));
  for (const { addr } of left) {
    await assertRejects(() => connect(addr), Error, "connect E");
    const shown = addr.transport === "unix" ? addr.path : `${addr.hostname}:${addr.port}`;
    await service.says(
      new RegExp(`The inherited socket ${shown} was not asked for by this program, and is closed`),
    );
  }
  assert(!existsSync(path));
  assertEquals(await service.end(), 0);
});

if (runtime === "deno") {
  const plan = JSON.stringify({ servers: [{ ...local, handoff: "auto" }] });
  const needed = ["--allow-net", "--allow-env", "--allow-ffi", "--allow-run"];

  test("[deno] Upgrader asks for these permissions at a restart", async () => {
    const program = run("upgradable.ts", [plan], needed);
    await deadline(program.says(/^graceful: \d+;/m), SOON);
    program.signal("SIGHUP");
    await deadline(program.says(/^down: \d+ upgraded 0;/m), SOON);
    const pid = Number([...program.output.matchAll(/^graceful: (\d+);/gm)].at(-1)![1]);
    process.kill(pid, "SIGTERM");
    await deadline(program.exit, SOON);
    assert(new RegExp(`^down: ${pid} SIGTERM 0;`, "m").test(program.output), program.output);
  });

  test("[deno] Upgrader cannot hand over a listener without --allow-ffi, and says so", async () => {
    const program = run("upgradable.ts", [plan], needed.filter((flag) => flag !== "--allow-ffi"));
    assertEquals(await deadline(program.exit, SOON), 1);
    await program.says(
      /UpgradeError: Cannot hand over a listener: that needs the permission 'ffi'/,
    );
  });
}

test(`[${runtime}] Upgrader starts the same command, with the same arguments and environment`, async () => {
  const service = await Service.start({ servers: [{ ...local, handoff: "auto" }] });
  const [argv, env] = [await service.ask("/argv"), await service.ask("/env")];
  await service.restart();
  assertEquals(await service.ask("/argv"), argv);
  const names = (text: string) => (JSON.parse(text) as string[]).sort();
  assertEquals(names(await service.ask("/env")), names(env));
  assertEquals(await service.end(), 0);
});

test(`[${runtime}] Upgrader starts with the variables of 'env', and no others`, async () => {
  // The cast: all values of the environment of a process are strings.
  const env = { ...process.env, ADDED: "1" } as Record<string, string>;
  process.env["LEFT_OUT"] = "1";
  const service = await Service.start({
    servers: [{ ...local, handoff: "auto" }],
    upgrader: { env },
  });
  delete process.env["LEFT_OUT"];
  const variables = async () =>
    (JSON.parse(await service.ask("/env")) as string[])
      .filter((name) => name === "ADDED" || name === "LEFT_OUT");
  assertEquals(await variables(), ["LEFT_OUT"]);
  await service.restart();
  assertEquals(await variables(), ["ADDED"]);
  assertEquals(await service.end(), 0);
});
