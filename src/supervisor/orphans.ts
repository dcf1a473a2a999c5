import process from "node:process";
import { reapChildren } from "../runtime/linux/processes.ts";

/** The number of milliseconds after which a process that has ended, and that the runtime has not reaped, is no child of its own. */
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
    reapChildren(this.#spared);
  }
}
