import { after } from "node:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "./fixture.ts";
import { commandOf, isRunning } from "./process.ts";

/** A service that writes what happens to it to the file of its first argument: its terminal may be gone. */
const SERVICE = `
import { appendFileSync } from "node:fs";
import process from "node:process";
import { graceful, listen, serve } from ${
  JSON.stringify(fileURLToPath(new URL("../../mod.ts", import.meta.url)))
};
const say = (text) => appendFileSync(process.argv[2], text + "\\\\n");
say(process.pid + " starts");
const listener = process.argv[3] === "slow" && await listen({ port: 0, hostname: "127.0.0.1" });
if (listener) say(process.pid + " claims");
if (process.argv[3] === "slow") await new Promise((resolve) => setTimeout(resolve, 700));
const where = listener ? { listener } : { port: 0, hostname: "127.0.0.1", handoff: "auto" };
const server = await serve(() => new Response("hello"), where);
const ending = graceful(server, {
  upgradeOn: "SIGHUP",
  exit: false,
  log: process.argv[3] === "default-log" ? undefined : ({ type, cause, why, what, error, command, successor }) =>
    say([process.pid, type, cause, why, what, error?.message, command?.at(-1), successor].filter(Boolean).join(" ")),
});
say(process.pid + " serves");
if (process.argv[3] === "itself") process.kill(process.pid, "SIGHUP");
await ending;
say(process.pid + " ended");
process.exit();
`.replaceAll("\\\\n", "\\n");

/** In ms. */
const SOON = 15_000;

const children = new Set<ChildProcess>();
const pids = new Set<number>();
after(() => {
  for (const child of children) child.kill("SIGKILL");
  for (const pid of pids) if (isRunning(pid)) process.kill(pid, "SIGKILL");
});

/** A service that writes to a file what happens to it, for where its streams may be gone. */
export class RecordedService {
  readonly folder: string = temporaryFolder();
  readonly file: string = join(this.folder, "record");
  readonly program: string = join(this.folder, "service.mts");

  constructor() {
    writeFileSync(this.program, SERVICE);
  }

  get command(): string[] {
    return [...commandOf(this.program), this.file];
  }

  /** Starts a command, which is ended after the tests. */
  start(command: string, ...args: string[]): ChildProcess {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], cwd: this.folder });
    children.add(child);
    return child;
  }

  get text(): string {
    return existsSync(this.file) ? readFileSync(this.file, "utf8") : "";
  }

  /** Waits until a line has been written, and returns the pid of who wrote it. */
  async says(pattern: RegExp): Promise<number> {
    const end = performance.now() + SOON;
    for (;;) {
      const match = pattern.exec(this.text);
      if (match !== null) {
        const pid = Number(/\d+/.exec(match[0])![0]);
        pids.add(pid);
        return pid;
      }
      if (performance.now() > end) throw new Error(`${pattern} is not in:\n${this.text}`);
      await sleep(10);
    }
  }
}
