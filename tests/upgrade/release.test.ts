/** What the new program is: a newer release, or one of another runtime. */
import { test } from "node:test";
import { mkdirSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { connect, request } from "../../support/client.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { Service, SOON } from "../support/generations.ts";
import { commandOf, Program } from "../support/process.ts";

const pinned = (name: string) =>
  fileURLToPath(new URL(`../../node_modules/.bin/${name}`, import.meta.url));

/** A service that answers with the release it is of. */
function program(release: number): string {
  return `
import process from "node:process";
import { graceful, serve } from ${
    JSON.stringify(fileURLToPath(new URL("../../mod.ts", import.meta.url)))
  };
console.log("starts: " + process.pid + ";");
const server = await serve(() => new Response("release ${release}"), {
  port: 0, hostname: "127.0.0.1", handoff: "auto",
});
console.log("arguments of release ${release}: " + JSON.stringify(process.argv.slice(2)) + ";");
console.log("FROM_FILE of release ${release}: " + process.env.FROM_FILE + ", " + process.env.FROM_START + ";");
process.chdir("/");
const ending = graceful(server, { upgradeOn: "SIGHUP" });
console.log("port " + server.addr.port + " of release ${release};");
await ending;
console.log(process.pid + " is down;");
console.log("release ${release} is down;");
`;
}

/** A folder with two releases, and a symlink to the first. */
function releases(): string {
  const folder = temporaryFolder();
  for (const release of [1, 2]) {
    mkdirSync(join(folder, `release-${release}`));
    writeFileSync(join(folder, `release-${release}`, "main.mts"), program(release));
    writeFileSync(join(folder, `release-${release}`, "package.json"), '{ "main": "main.mts" }');
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

/** The ways to start a release on any runtime: by a path through the symlink, or in the folder that it leads to. */
const starts: Record<string, { command: (folder: string) => string[]; cd: string }> = {
  "by its path": { command: (folder) => commandOf(join(folder, "current", "main.mts")), cd: "." },
  "in its folder": { command: () => commandOf("main.mts"), cd: "current" },
  "with arguments": {
    command: () => [...commandOf("main.mts"), "", "--flag", "a b"],
    cd: "current",
  },
};

/** The ways of one runtime. */
const starters: Record<typeof runtime, Record<string, string[]>> = {
  node: {
    "as `node .`": ["."],
    "as `node ./`": ["./"],
    "as `node ./main.mts`": ["./main.mts"],
    "with a flag": ["--no-warnings", "."],
    "with a flag that has a value": ["--import", "node:fs", "."],
  },
  deno: {
    "as `deno FILE`": ["-A", "main.mts"],
    "as `deno run ./FILE`": ["run", "--allow-all", "--no-check", "./main.mts"],
  },
  bun: {
    "as `bun .`": ["."],
    "as `bun main`": ["main"],
    "as `bun run main.mts`": ["run", "main.mts"],
    "with a flag": ["--smol", "main.mts"],
  },
};
/** On Deno, the path of its executable in a form of which Deno passes the arguments on as they are. */
const executable = process.execPath.replace(/[^/]+$/, "./$&");

for (const [how, args] of Object.entries(starters[runtime])) {
  starts[how] = { command: () => [executable, ...args], cd: "current" };
}

for (const [how, { command, cd }] of Object.entries(starts)) {
  test(`[${runtime}] Upgrader starts a newer release behind a symlink, started ${how}`, async () => {
    const folder = releases();
    const service = startIn(join(folder, cd), command(folder));
    const port = Number(await deadline(service.says(/^port (\d+) of release 1;/m), SOON));
    assertEquals(await ask(port), "release 1");
    deploy(folder);
    service.signal("SIGHUP");
    await deadline(service.says(/^release 1 is down;/m), SOON);
    assertEquals(await ask(port), "release 2");
    assertEquals(argumentsOf(service, 2), argumentsOf(service, 1));
    await endOf(service);
  });
}

test(`[${runtime}] Upgrader starts the same release in a folder that PWD does not name, and says in which`, async () => {
  const folder = releases();
  const { PWD: _, ...env } = process.env;
  const [command = "", ...args] = commandOf("main.mts");
  const service = new Program(
    spawn(command, args, {
      cwd: join(folder, "current"),
      stdio: ["ignore", "pipe", "pipe"],
      env,
    }),
  );
  const port = Number(await deadline(service.says(/^port (\d+) of release 1;/m), SOON));
  deploy(folder);
  service.signal("SIGHUP");
  await deadline(service.says(/^graceful: upgrading: starting .* in \/.*\/release-1$/m), SOON);
  await deadline(service.says(/^release 1 is down;/m), SOON);
  assertEquals(await ask(port), "release 1");
  await endOf(service);
});

/** Starts a command in a folder. The shell tells of the path by which it came to the folder. */
function startIn(
  folder: string,
  command: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Program {
  const script = 'cd "$1" && shift && exec "$@"';
  return new Program(
    spawn("sh", ["-c", script, "sh", folder, ...command], {
      stdio: ["ignore", "pipe", "pipe"],
      env,
    }),
  );
}

function argumentsOf({ output }: Program, release: number): string {
  return new RegExp(`^arguments of release ${release}: (.*);$`, "m").exec(output)![1]!;
}

/** Ends the process that has been started last. */
async function endOf(service: Program): Promise<void> {
  const pid = Number([...service.output.matchAll(/^starts: (\d+);/gm)].at(-1)![1]);
  process.kill(pid, "SIGTERM");
  await deadline(service.exit, SOON);
  await service.says(new RegExp(`^${pid} is down;`, "m"));
}

test(`[${runtime}] Upgrader restarts a service whose parent has opened a channel to it, as nodemon and tsx do`, async () => {
  const folder = releases();
  const [command = "", ...args] = commandOf(join(folder, "current", "main.mts"));
  const service = new Program(spawn(command, args, { stdio: ["ignore", "pipe", "pipe", "ipc"] }));
  const port = Number(await deadline(service.says(/^port (\d+) of release 1;/m), SOON));
  deploy(folder);
  service.signal("SIGHUP");
  await deadline(service.says(/^release 1 is down;/m), SOON);
  assertEquals(await ask(port), "release 2");
  // The next one would inherit the variables as well.
  const pid = Number([...service.output.matchAll(/^starts: (\d+);/gm)].at(-1)![1]);
  process.kill(pid, "SIGHUP");
  await deadline(service.says(/^release 2 is down;/m), SOON);
  assertEquals(await ask(port), "release 2");
  await endOf(service);
});

test(`[${runtime}] Upgrader starts with the environment of the start, and a changed .env`, async () => {
  const folder = releases();
  const current = join(folder, "current");
  // Bun reads the file by itself.
  const flags = runtime === "bun" ? [] : ["--env-file=.env"];
  const [command = "", ...rest] = commandOf("main.mts");
  const at = runtime === "deno" ? 1 : 0;
  const words = [command, ...rest.slice(0, at), ...flags, ...rest.slice(at)];
  for (const release of [1, 2]) {
    writeFileSync(join(folder, `release-${release}`, ".env"), `FROM_FILE=${release}\n`);
  }
  const service = startIn(current, words, { ...process.env, FROM_START: "kept" });
  await deadline(service.says(/^port (\d+) of release 1;/m), SOON);
  await service.says(/^FROM_FILE of release 1: 1, kept;/m);
  deploy(folder);
  service.signal("SIGHUP");
  await deadline(service.says(/^release 1 is down;/m), SOON);
  await service.says(/^FROM_FILE of release 2: 2, kept;/m);
  await endOf(service);
});

if (runtime === "node") {
  test("[node] Upgrader starts a single executable again, with the same arguments", async () => {
    const folder = releases();
    const main = program(1).replace("const server", "(async () => { const server") + "})();";
    writeFileSync(join(folder, "main.mts"), main);
    writeFileSync(
      join(folder, "sea.json"),
      JSON.stringify({ main: "main.cjs", output: "service", disableExperimentalSEAWarning: true }),
    );
    const options = { cwd: folder, stdio: "ignore" } as const;
    const bundle = ["build", "main.mts", "--target=node", "--format=cjs", "--outfile=main.cjs"];
    execFileSync(pinned("bun"), bundle, options);
    execFileSync(process.execPath, ["--build-sea", "sea.json"], options);
    const service = startIn(folder, ["./service", "one"]);
    for (const upgrades of [1, 2]) {
      await deadline(
        service.says(new RegExp(`^(starts: \\d+;[\\s\\S]*){${upgrades}}port \\d+ of`, "m")),
        SOON,
      );
      const pid = Number([...service.output.matchAll(/^starts: (\d+);/gm)].at(-1)![1]);
      process.kill(pid, "SIGHUP");
      await deadline(service.says(new RegExp(`^${pid} is down;`, "m")), SOON);
    }
    const given = [...service.output.matchAll(/^arguments of release 1: (.*);$/gm)];
    assertEquals(given.map(([, args]) => args), ['["one"]', '["one"]', '["one"]']);
    await endOf(service);
  });
}

if (runtime === "bun") {
  for (const how of ["replaced at its path", "behind a symlink"]) {
    test(`[bun] Upgrader starts the newer executable of bun build --compile, ${how}`, async () => {
      const folder = releases();
      for (const release of [1, 2]) {
        const place = join(folder, `release-${release}`);
        execFileSync(process.execPath, ["build", "--compile", "main.mts", "--outfile", "service"], {
          cwd: place,
          stdio: "ignore",
        });
      }
      const isReplaced = how === "replaced at its path";
      const service = isReplaced
        ? startIn(join(folder, "release-1"), ["./service", "one"])
        : startIn(folder, ["current/service", "one"]);
      await deadline(service.says(/^port (\d+) of release 1;/m), SOON);
      if (isReplaced) {
        renameSync(join(folder, "release-2", "service"), join(folder, "release-1", "service"));
      } else deploy(folder);
      for (const upgrade of [1, 2]) {
        const pid = Number([...service.output.matchAll(/^starts: (\d+);/gm)].at(-1)![1]);
        process.kill(pid, "SIGHUP");
        await deadline(
          service.says(
            new RegExp(`^(starts: \\d+;[\\s\\S]*){${upgrade + 1}}port \\d+ of release 2;`, "m"),
          ),
          SOON,
        );
        await deadline(service.says(new RegExp(`^${pid} is down;`, "m")), SOON);
      }
      assertEquals(argumentsOf(service, 2), '["one"]');
      await endOf(service);
    });
  }
}

/** The runtimes that package.json pins, and how each runs a program. */
const runtimes: Record<string, readonly string[]> = {
  node: ["node"],
  deno: ["deno", "run", "--no-check", "--allow-all"],
  bun: ["bun"],
};
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
