/** `graceful run` under the service managers of Debian: its process stays the same throughout. */
import { test } from "node:test";
import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { installed } from "../../support/installed.ts";
import { isFree } from "../../support/ports.ts";
import { until } from "../../support/until.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { testSideBySide } from "../support/side_by_side.ts";
import { SOON, SupervisedService } from "../support/supervised.ts";

const execute = promisify(execFile);

/** A service manager that runs in the foreground. */
interface Manager {
  /** The programs that it consists of. */
  readonly programs: readonly string[];
  /** Returns its command, by which it starts the program at `script` as a service. */
  start(folder: string, script: string): readonly string[];
  /** The command that sends SIGHUP to the service; without it the manager passes on its own signals. */
  hangUp?(folder: string): readonly string[];
  /** The command that tells what runs, and the pattern of the answer, whose group is the process id. */
  status?(folder: string): readonly [command: readonly string[], pattern: RegExp];
  /** The command that ends the service and the manager; without it the manager gets SIGTERM. */
  end?(folder: string): readonly string[];
}

/** Makes a folder with the name that a service of runit and daemontools has. */
function serviceFolder(folder: string, script: string): string {
  const service = join(folder, "web");
  mkdirSync(service);
  writeFileSync(join(service, "run"), `#!/bin/sh\nexec ${script}\n`);
  chmodSync(join(service, "run"), 0o755);
  return service;
}

function supervisordFile(folder: string): string {
  return join(folder, "supervisord.conf");
}

function supervisorctl(folder: string, ...words: string[]): readonly string[] {
  return ["supervisorctl", "-c", supervisordFile(folder), ...words];
}

const managers: Readonly<Record<string, Manager>> = {
  "runit": {
    programs: ["runsv", "sv"],
    start: (folder, script) => ["runsv", serviceFolder(folder, script)],
    hangUp: (folder) => ["sv", "hup", join(folder, "web")],
    status: (folder) => [["sv", "status", join(folder, "web")], /^run: .*\(pid (\d+)\)/],
  },
  "daemontools": {
    programs: ["supervise", "svc", "svstat"],
    start: (folder, script) => ["supervise", serviceFolder(folder, script)],
    hangUp: (folder) => ["svc", "-h", join(folder, "web")],
    status: (folder) => [["svstat", join(folder, "web")], /: up \(pid (\d+)\)/],
    end: (folder) => ["svc", "-dx", join(folder, "web")],
  },
  "supervisord": {
    programs: ["supervisord", "supervisorctl"],
    start(folder, script) {
      const socket = join(folder, "control");
      writeFileSync(
        supervisordFile(folder),
        `[supervisord]
nodaemon=true
user=${process.env["USER"] ?? "root"}
logfile=/dev/null
logfile_maxbytes=0
pidfile=${join(folder, "pid")}
[unix_http_server]
file=${socket}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://${socket}
[program:web]
command=${script}
redirect_stderr=true
stdout_logfile=${join(folder, "output")}
stdout_logfile_maxbytes=0
`,
      );
      // supervisord opens the file of the output by its path, and the output of this test is a socket, which has none.
      const relay = `cd "$1" && mkfifo output && { cat output & } && exec "$2" -c supervisord.conf`;
      return ["sh", "-c", relay, "sh", folder, installed("supervisord")!];
    },
    hangUp: (folder) => supervisorctl(folder, "signal", "HUP", "web"),
    status: (folder) => [supervisorctl(folder, "status", "web"), /\bRUNNING +pid (\d+),/],
  },
  "tini": { programs: ["tini"], start: (_folder, script) => ["tini", "-s", "--", script] },
  "dumb-init": { programs: ["dumb-init"], start: (_folder, script) => ["dumb-init", script] },
};

/** Runs a command, and returns what it has written. */
async function output([program, ...args]: readonly string[]): Promise<string> {
  const { stdout } = await execute(installed(program!)!, args, { timeout: SOON });
  return stdout;
}

/** Writes a program that runs the command; its first line makes the tests end the process in any case. */
function writeScript(folder: string, command: readonly string[]): string {
  const file = join(folder, "start");
  const words = command.map((word) => `'${word}'`).join(" ");
  writeFileSync(file, `#!/bin/sh\necho "(process $$) was started"\nexec ${words} 2>&1\n`);
  chmodSync(file, 0o755);
  return file;
}

function testUnder(name: string, { programs }: Manager, run: () => Promise<void>): void {
  const title = `[${runtime}, under ${name}] graceful run stays the same process`;
  const missing = programs.filter((program) => installed(program) === undefined);
  if (missing.length === 0) testSideBySide(title, run);
  else test(`${title} (skipped: ${missing.join(", ")} not installed)`, { skip: true });
}

for (const [name, manager] of Object.entries(managers)) {
  testUnder(name, manager, async () => {
    const folder = temporaryFolder();
    const service = await SupervisedService.start({
      args: ["--workers=2", "--min-uptime=0.1"],
      manager(command) {
        const [program, ...args] = manager.start(folder, writeScript(folder, command));
        return [installed(program!)!, ...args];
      },
    });
    const { pid } = await service.status();
    const isKept = async () => {
      assertEquals((await service.status()).pid, pid);
      if (manager.status === undefined) return;
      const [command, pattern] = manager.status(folder);
      // supervisord calls a program RUNNING when it has run for a second.
      const shown = await until(
        () => `${name} does not say ${pattern}`,
        async () => pattern.exec(await output(command).catch(String))?.[1],
      );
      assertEquals(Number(shown), pid);
    };
    await isKept();
    if (manager.hangUp === undefined) service.program.signal("SIGHUP");
    else await output(manager.hangUp(folder));
    await service.says(/^supervisor: generation 2 serves/m);
    await service.gone(service.pidsOf(1));
    await isKept();
    assert(service.pidsOf(2).includes(Number(await service.ask())));
    if (manager.end === undefined) service.program.signal("SIGTERM");
    else await output(manager.end(folder));
    assertEquals(await deadline(service.program.exit, SOON), 0, service.output);
    await service.gone(service.pids);
    assertEquals(service.output.match(/^down: \d+ SIGTERM 0;/gm)?.length, 4, service.output);
    assert(await isFree(service.port));
  });
}
