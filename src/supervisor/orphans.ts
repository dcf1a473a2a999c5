import process from "node:process";
import { reapChildren } from "../runtime/linux/processes.ts";

/** The number of milliseconds to wait, so that the runtime can reap the processes that it has started itself. */
const PATIENCE = 500;

/**
 * Reaps orphaned processes if this process is process 1 of a container, which the kernel makes the parent of orphans.
 * No runtime does this itself.
 */
export class Orphans {
  readonly #spared: (pid: number) => boolean;
  readonly #isFirst: boolean = process.pid === 1;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #onSignal = () => {
    this.#timer ??= setTimeout(() => this.#reap(), PATIENCE);
  };

  /** `spared` returns whether the runtime reaps a process itself. */
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
    // If this process was blocked, the runtime must reap its own children first.
    setImmediate(() => reapChildren(this.#spared));
  }
}
