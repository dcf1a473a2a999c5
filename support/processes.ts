/**
 * The processes of one run: those that are started here, and those that they start. All carry the
 * run's mark in their environment, and are found by it, so that none is left behind.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { MARK, UNTIL } from "./announce.ts";
import { until } from "./until.ts";

/** How much of what they write is kept for the message of an error: so many lines. */
const LINES = 40;

/** A program and its arguments. */
export type Command = readonly [string, ...string[]];

const open = new Set<Processes>();

// Also when this process is about to end in another way than by its last line.
process.on("exit", () => open.forEach((processes) => processes.kill()));

/** The processes of one run. */
export class Processes implements AsyncDisposable {
  /** The exit code of each process that has ended by itself. */
  readonly exitCodes: Map<number, number> = new Map();
  /** When each process told that it serves, on the clock of `performance.now()`. */
  readonly readyTimes: Map<number, number> = new Map();
  readonly #mark: string = randomUUID();
  readonly #env: NodeJS.ProcessEnv;
  /** Those that were started here or have announced themselves, and were not seen to end. */
  readonly #known = new Set<number>();
  readonly #ready: number[] = [];
  readonly #lines: string[] = [];
  /** How many streams of theirs are open. */
  #outputs = 0;

  /** For a run that takes no longer than so many milliseconds. */
  constructor(maxTime: number) {
    this.#env = { ...process.env, [MARK]: this.#mark, [UNTIL]: String(Date.now() + maxTime) };
    open.add(this);
  }

  /** Starts a process, and resolves with its id once it serves. */
  async start([program, ...args]: Command): Promise<number> {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: this.#env });
    child.once("error", (error) => this.#onLine(error.message));
    if (child.pid !== undefined) this.#known.add(child.pid);
    for (const input of [child.stdout, child.stderr]) {
      this.#outputs++;
      const lines = createInterface({ input }).on("line", (line) => this.#onLine(line));
      lines.once("close", () => this.#outputs--);
    }
    return await this.nextReady();
  }

  /** The next process that serves, whoever has started it. */
  async nextReady(): Promise<number> {
    return await this.#until("no process has become ready", () => this.#ready.shift());
  }

  /** Sends a signal to one of them. */
  signal(pid: number, name: NodeJS.Signals): void {
    process.kill(pid, name);
  }

  /** Resolves once the process is gone. */
  async gone(pid: number): Promise<void> {
    await this.#until(`process ${pid} is still there`, () => isAlive(pid) ? undefined : true);
    this.#known.delete(pid);
  }

  /** Resolves once everything that they have written is read. They have to be gone. */
  async outputEnd(): Promise<void> {
    await this.#until("their output has not ended", () => this.#outputs > 0 ? undefined : true);
  }

  /** Those that are alive. */
  alive(): number[] {
    return (markedBy(this.#mark) ?? [...this.#known]).filter(isAlive);
  }

  /** Kills those that are alive. */
  kill(): void {
    for (const pid of this.alive()) kill(pid);
  }

  /** Kills what is alive, and resolves once all are gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.#until(
      "processes are still there",
      () => this.alive().length > 0 ? undefined : true,
    );
    open.delete(this);
  }

  async #until<T>(what: string, look: () => T | undefined): Promise<T> {
    return await until(() => `${what}\n${this.#lines.join("\n")}`, look);
  }

  #onLine(line: string): void {
    const [, event, pid, code] = /^(ready|ended) (\d+)(?: (\d+))?$/.exec(line) ?? [];
    if (event === "ready") {
      this.#known.add(Number(pid));
      this.readyTimes.set(Number(pid), performance.now());
      this.#ready.push(Number(pid));
    } else if (event === "ended") {
      this.exitCodes.set(Number(pid), Number(code));
    }
    this.#lines.push(line);
    if (this.#lines.length > LINES) this.#lines.shift();
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}

/** Whether the process runs. One that has ended and that nobody has waited for does not. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // Its state comes after its name, which may itself have spaces and parentheses.
  return !/\) [ZX] [^)]*$/.test(readProc(pid, "stat"));
}

/** The processes with the mark in their environment, where the system shows it. */
function markedBy(mark: string): number[] | undefined {
  if (readProc(process.pid, "environ") === "") return undefined;
  const entry = `${MARK}=${mark}`;
  const pids = readdirSync("/proc").map(Number).filter((pid) => pid > 0);
  return pids.filter((pid) => readProc(pid, "environ").split("\0").includes(entry));
}

/** A file of `/proc`, empty where there is none. */
function readProc(pid: number, name: "stat" | "environ"): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1");
  } catch {
    return "";
  }
}
