import process from "node:process";
import { reapChildren } from "../runtime/linux/processes.ts";

/** The number of milliseconds within which the runtime has reaped the processes that it has started itself. */
const PATIENCE = 500;

/**
 * Reaps the processes that other processes have left to this one, if this is process 1 of a container, which the kernel
 * gives them to. No runtime does this itself.
 */
export class Orphans {
  readonly #spared: (pid: number) => boolean;
  readonly #isFirst: boolean = process.pid === 1;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #onSignal = () => {
    this.#timer ??= setTimeout(() => this.#reap(), PATIENCE);
  };

  /** The runtime itself reaps the processes that are `spared`. */
  constructor(spared: (pid: number) => boolean) {
    this.#spared = spared;
    if (this.#isFirst) process.on("SIGCHLD", this.#onSignal);
  }

  end(): void {
    process.off("SIGCHLD", this.#onSignal);
    clearTimeout(this.#timer);
  }

  #reap(): void {
    this.#timer = undefined;
    // If this process was held up, the runtime reaps its own children first.
    setImmediate(() => reapChildren(this.#spared));
  }
}
