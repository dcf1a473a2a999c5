/** What stands in for systemd: a unix datagram socket, and who reads it. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { deadline } from "@std/async";
import { Program } from "./process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;

/** A unix datagram socket, and who reads it. */
export class Receiver {
  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
  }

  /** The nth datagram that it has received, from 1. */
  async datagram(number: number): Promise<{ text: string; at: number }> {
    const line = this.#program.says(new RegExp(`^datagram ${number}: (.*)$`, "m"));
    return JSON.parse(await deadline(line, SOON));
  }

  /** Begins to read. */
  read(): void {
    this.#program.child.stdin!.end();
  }

  /** It would read forever. */
  async end(): Promise<void> {
    this.#program.child.kill("SIGKILL");
    await this.#program.exit;
  }
}

/** Has a socket bound for as long as the function runs. */
export async function withReceiver(
  address: string,
  use: (receiver: Receiver) => Promise<void>,
): Promise<void> {
  const file = fileURLToPath(new URL("../programs/datagram_receiver.ts", import.meta.url));
  // Bun, on every runtime, for the FFI that it always has.
  const bun = fileURLToPath(new URL("../../node_modules/.bin/bun", import.meta.url));
  const program = new Program(spawn(bun, [file, address], { stdio: ["pipe", "pipe", "pipe"] }));
  const receiver = new Receiver(program);
  try {
    await deadline(program.says(/bound/), SOON);
    await use(receiver);
  } finally {
    await receiver.end();
  }
}
