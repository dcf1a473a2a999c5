import { setTimeout as sleep } from "node:timers/promises";
import { basename } from "node:path";
import { O_ACCMODE, O_WRONLY } from "./headers.ts";
import { procFile } from "./proc_files.ts";
import { startEnvironment } from "./start_environment.ts";

/** The number of ms between two looks whether the terminal is still there. */
const INTERVAL = 2_000;

/** The number of ms in which a shell ends that has signaled its jobs. */
const END_OF_SHELL = 200;

/** The place of SIGHUP, signal 1, in a set of signals. */
const SIGHUP_BIT = 1n;

/**
 * The terminal that controls this process, whose end the kernel or the shell announces with SIGHUP. No runtime tells
 * who has sent a signal, so that the signal is the terminal's if the terminal was there a moment before. Must be made
 * before the process listens to SIGHUP.
 */
export class ControllingTerminal {
  /** Whether this process was started by `nohup`, so that it outlives its terminal. */
  readonly isOutlived: boolean = isStartedByNohup();
  #isThere = hasTerminal();
  readonly #watching: ReturnType<typeof setInterval> | undefined;

  constructor() {
    if (!this.#isThere) return;
    // A process that was disowned loses its terminal without a signal, and a later SIGHUP is meant for it.
    this.#watching = setInterval(() => {
      this.#isThere &&= hasTerminal();
    }, INTERVAL);
    this.#watching.unref();
  }

  /**
   * Reports, once, whether the terminal has gone since it was last seen, or goes now: a shell that ends signals its
   * jobs before it ends.
   */
  async goesAway(): Promise<boolean> {
    if (!this.#isThere) return false;
    if (this.#hasJustGone()) return true;
    await sleep(END_OF_SHELL);
    return this.#hasJustGone();
  }

  #hasJustGone(): boolean {
    const wasThere = this.#isThere;
    this.#isThere &&= hasTerminal();
    return wasThere && !this.#isThere;
  }

  /** Stops looking. */
  release(): void {
    clearInterval(this.#watching);
  }
}

/** Reports whether a terminal controls this process: field 7 of the file is the number of its device, or 0. */
function hasTerminal(): boolean {
  // The name of the program, in parentheses, may have spaces and parentheses in it.
  const [, , , , terminal = "0"] = procFile("/proc/self/stat").replace(/^.*\) /s, "").split(" ");
  return terminal !== "0";
}

/**
 * Reports whether this process was started by `nohup`. Must be asked before the process listens to SIGHUP.
 *
 * Not every sign is there on each runtime and with each shell. `nohup` has its program ignore SIGHUP, but Node forgets
 * at its start which signals are ignored. Bash and zsh tell the program in the variable `_`, dash does not. In place of
 * a terminal, GNU's `nohup` gives its program an input that cannot be read.
 */
function isStartedByNohup(): boolean {
  const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(procFile("/proc/self/status"))?.[1] ?? "0";
  if ((BigInt(`0x${ignored}`) & SIGHUP_BIT) !== 0n) return true;
  if (basename(startEnvironment()["_"] ?? "") === "nohup") return true;
  const inputFlags = /^flags:\s*([0-7]+)$/m.exec(procFile("/proc/self/fdinfo/0"))?.[1] ?? "0";
  return (Number.parseInt(inputFlags, 8) & O_ACCMODE) === O_WRONLY;
}
