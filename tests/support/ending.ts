import { deadline } from "@std/async";
import type { Addr, GracefulEvent } from "../../mod.ts";
import type { Plan } from "../programs/ending.ts";
import { type RawClient, request } from "../../support/client.ts";
import { connect } from "../../support/client.ts";
import { type Program, run } from "./process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
export const SOON = 20_000;

/** The program tests/programs/ending.ts, and what it says of its end. */
export class Ending {
  readonly program: Program;

  constructor(program: Program) {
    this.program = program;
  }

  /** Resolves when it has called `graceful`. */
  static async start(plan: Plan, env: NodeJS.ProcessEnv = {}): Promise<Ending> {
    const ending = new Ending(run("ending.ts", [JSON.stringify(plan)], undefined, env));
    await ending.says(/^up;/m);
    return ending;
  }

  /** Waits for the pattern, and returns its first group. */
  says(pattern: RegExp): Promise<string> {
    return deadline(this.program.says(pattern), SOON);
  }

  get addrs(): Addr[] {
    return [...this.program.output.matchAll(/^port: (\d+)/gm)].map(([, port]) => ({
      transport: "tcp",
      hostname: "127.0.0.1",
      port: Number(port),
    }));
  }

  /** The events so far; their errors are text. */
  get events(): GracefulEvent[] {
    return [...this.program.output.matchAll(/^event: (.*);$/gm)].map(([, json]) =>
      JSON.parse(json!)
    );
  }

  /** The messages so far that were published on channels, with the names of the channels. */
  get messages(): [name: string, message: Record<string, unknown>][] {
    return [...this.program.output.matchAll(/^channel: (\S+) (.*);$/gm)].map(([, name, json]) => [
      name!,
      JSON.parse(json!),
    ]);
  }

  /** Waits for an event of this type. */
  async event<T extends GracefulEvent["type"]>(
    type: T,
  ): Promise<Extract<GracefulEvent, { type: T }>> {
    return JSON.parse(await this.says(new RegExp(`^event: (\\{"type":"${type}".*);$`, "m")));
  }

  /** Sends a request over a connection of its own, which stays open. */
  async request(path: string, addr: Addr = this.addrs[0]!): Promise<RawClient> {
    const client = await deadline(connect(addr), SOON);
    client.write(request(path));
    return client;
  }

  /** The same; resolves when it has reached the handler. */
  async inFlight(path: string, addr?: Addr): Promise<RawClient> {
    const client = await this.request(path, addr);
    await this.says(new RegExp(`^arrived: ${path};`, "m"));
    return client;
  }

  /**
   * Sends a signal until the process has ended, for the first ones may be copies of another one. Resolves
   * with the exit code.
   */
  async force(name: NodeJS.Signals): Promise<number | string> {
    const timer = setInterval(() => this.program.signal(name), 100);
    try {
      return await this.exit();
    } finally {
      clearInterval(timer);
    }
  }

  /** Resolves with the exit code. */
  exit(): Promise<number | string> {
    return deadline(this.program.exit, SOON);
  }
}
