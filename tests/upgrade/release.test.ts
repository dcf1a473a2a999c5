/** What the new program is: a newer release, or one of another runtime. */
import { test } from "node:test";
import { mkdirSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { Service, SOON } from "../support/generations.ts";
import { commandOf, Program } from "../support/process.ts";

/** A service that answers with the release it is of. */
function program(release: number): string {
  return `
import process from "node:process";
import { graceful, serve } from ${JSON.stringify(new URL("../../mod.ts", import.meta.url).href)};
console.log("starts: " + process.pid + ";");
const server = await serve(() => new Response("release ${release}"), {
  port: 0, hostname: "127.0.0.1", handoff: "auto",
});
process.chdir("/");
const ending = graceful(server, { upgradeOn: "SIGHUP" });
console.log("port " + server.addr.port + " of release ${release};");
await ending;
console.log("release ${release} is down;");
`;
}

/** A folder with two releases, and a symlink to the first. */
function releases(): string {
  const folder = temporaryFolder();
  for (const release of [1, 2]) {
    mkdirSync(join(folder, `release-${release}`));
    writeFileSync(join(folder, `release-${release}`, "main.mts"), program(release));
  }
  symlinkSync("release-1", join(folder, "current"));
  return folder;
}

/** Has the symlink lead to the second release, in one step. */
function deploy(folder: string): void {
  symlinkSync("release-2", join(folder, "next"));
  renameSync(join(folder, "next"), join(folder, "current"));
  assertEquals(readlinkSync(join(folder, "current")), "release-2");
}

async function ask(port: number): Promise<string> {
  const client = await connect({ transport: "tcp", hostname: "127.0.0.1", port });
  client.write(request("/", "Connection: close"));
  return (await deadline(client.response(), SOON)).body;
}

/** How a release may be started: by a path through the symlink, or in the folder that it leads to. */
const starts: Record<string, { file: (folder: string) => string; cd: string }> = {
  "by its path": { file: (folder) => join(folder, "current", "main.mts"), cd: "." },
  "in its folder": { file: () => "main.mts", cd: "current" },
};

for (const [how, { file, cd }] of Object.entries(starts)) {
  test(`[${runtime}] Upgrader starts a newer release behind a symlink, started ${how}`, async () => {
    const folder = releases();
    // The shell tells of the path by which it came to a folder.
    const script = 'cd "$1" && shift && exec "$@"';
    const command = [join(folder, cd), ...commandOf(file(folder))];
    const service = new Program(
      spawn("sh", ["-c", script, "sh", ...command], { stdio: ["ignore", "pipe", "pipe"] }),
    );
    const port = Number(await deadline(service.says(/^port (\d+) of release 1;/m), SOON));
    assertEquals(await ask(port), "release 1");
    deploy(folder);
    service.signal("SIGHUP");
    await deadline(service.says(/^release 1 is down;/m), SOON);
    assertEquals(await ask(port), "release 2");
    const pid = Number([...service.output.matchAll(/^starts: (\d+);/gm)].at(-1)![1]);
    process.kill(pid, "SIGTERM");
    await deadline(service.exit, SOON);
    await service.says(/^release 2 is down;/m);
  });
}

/** The runtimes that package.json pins, and how each runs a program. */
const runtimes: Record<string, readonly string[]> = {
  node: ["node"],
  deno: ["deno", "run", "--no-check", "--allow-all"],
  bun: ["bun"],
};
const pinned = (name: string) =>
  fileURLToPath(new URL(`../../node_modules/.bin/${name}`, import.meta.url));

for (const [other, [name, ...flags]] of Object.entries(runtimes)) {
  if (other === runtime) continue;
  test(`[${runtime}] Upgrader restarts as ${other}, and that as ${other} again`, async () => {
    const program = fileURLToPath(new URL("../programs/upgradable.ts", import.meta.url));
    const servers = [{ port: 0, hostname: "127.0.0.1", handoff: "auto" }] as const;
    const next = JSON.stringify({ servers });
    const command = [pinned(name!), ...flags, program, next];
    const service = await Service.start({ servers, upgrader: { command } });
    const { addr } = service;
    for (let i = 0; i < 2; i++) {
      const pid = await service.restart();
      assertEquals(service.servers(pid)[0]!.engine, other);
      assertEquals(await service.ask("/", addr), String(pid));
    }
    assertEquals(await service.end(), 0);
  });
}
