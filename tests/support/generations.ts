import { type RawClient, request as requestText } from "../../support/client.ts";
import { connect } from "../../support/client.ts";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import type { Plan } from "../programs/upgradable.ts";
import { temporaryFolder } from "./fixture.ts";
import { isRunning, type Program, run } from "./process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
export const SOON = 20_000;

/** A service through its restarts: the program tests/programs/upgradable.ts. */
export class Service {
  readonly program: Program;
  readonly #mishap: string;

  private constructor(program: Program, mishap: string) {
    this.program = program;
    this.#mishap = mishap;
  }

  /** Starts it; resolves when its first generation serves. */
  static async start(plan: Plan, permissions?: readonly string[]): Promise<Service> {
    const mishap = join(temporaryFolder(), "mishap");
    writeFileSync(mishap, "");
    const program = run("upgradable.ts", [JSON.stringify({ ...plan, mishap })], permissions);
    const service = new Service(program, mishap);
    await service.says(/^graceful: (\d+);/m);
    return service;
  }

  /** Waits for the pattern, and returns its first group. */
  says(pattern: RegExp): Promise<string> {
    return deadline(this.program.says(pattern), SOON);
  }

  /** The process ids of its generations so far, those that never served too. */
  get pids(): number[] {
    return [...this.program.output.matchAll(/^starts: (\d+)/gm)].map(([, pid]) => Number(pid));
  }

  /** The newest generation that has reached `graceful`. */
  get pid(): number {
    return Number([...this.program.output.matchAll(/^graceful: (\d+);/gm)].at(-1)![1]);
  }

  /** Where a generation's servers listen, and what they are. */
  servers(pid: number): { engine: string; handoff: string; addr: Addr }[] {
    const up = new RegExp(`^up: ${pid} (\\S+) (\\S+) (.*);$`, "gm");
    return [...this.program.output.matchAll(up)].map(([, engine, handoff, addr]) => ({
      engine: engine!,
      handoff: handoff!,
      addr: JSON.parse(addr!) as Addr,
    }));
  }

  /** Where its first server listens. */
  get addr(): Addr {
    return this.servers(this.pids[0]!)[0]!.addr;
  }

  /** What goes wrong with the generation that starts next. */
  set nextMishap(what: string) {
    writeFileSync(this.#mishap, what);
  }

  /** Asks the newest generation for a restart. */
  hup(): void {
    process.kill(this.pid, "SIGHUP");
  }

  /** Has a generation answer its requests for `/wait`. */
  release(pid: number): void {
    process.kill(pid, "SIGUSR2");
  }

  /** Restarts it; resolves with the new process id when the old process has said that it is down. */
  async restart(): Promise<number> {
    const old = this.pid;
    this.hup();
    await this.says(new RegExp(`^down: ${old} upgraded 0;`, "m"));
    return this.pid;
  }

  /** Asks for a path over a connection of its own, and returns the body. */
  async ask(path = "/", addr: Addr = this.addr): Promise<string> {
    const client = await this.request(path, addr);
    const { body } = await deadline(client.response(), SOON);
    await deadline(client.closed, SOON);
    return body;
  }

  /** Sends a request over a connection of its own. */
  async request(path: string, addr: Addr = this.addr): Promise<RawClient> {
    const client = await deadline(connect(addr), SOON);
    client.write(requestText(path, "Connection: close"));
    return client;
  }

  /** Resolves when no process of it is left. */
  async gone(): Promise<void> {
    // The streams of a process may end a moment before it does.
    const all = async () => {
      while (this.pids.some(isRunning)) await sleep(10);
    };
    await deadline(all(), SOON);
  }

  /** Ends it; resolves when no process of it is left. */
  async end(): Promise<number | string> {
    process.kill(this.pid, "SIGTERM");
    return await deadline(this.program.exit, SOON);
  }
}
