import { setTimeout as sleep } from "node:timers/promises";
import { basename } from "node:path";
import { procFile } from "./proc_files.ts";
import { startEnvironment } from "./start_environment.ts";

/** The number of ms between two looks whether the terminal is still there. */
const INTERVAL = 2_000;

/** The number of ms in which a shell ends that has signaled its jobs. */
const END_OF_SHELL = 200;

/**
 * The terminal that controls this process, whose end the kernel or the shell announces with SIGHUP. No runtime tells
 * who has sent a signal, so that the signal is the terminal's if the terminal was there a moment before.
 */
export class ControllingTerminal {
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
 * Reports whether this process was started by `nohup`, which has it ignore SIGHUP. Node forgets at its start which
 * signals are ignored; the shell tells the program in the variable `_`.
 */
export function isUnderNohup(): boolean {
  const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(procFile("/proc/self/status"))?.[1] ?? "0";
  return (BigInt(`0x${ignored}`) & 1n) === 1n ||
    basename(startEnvironment()["_"] ?? "") === "nohup";
}
