import { setTimeout as sleep } from "node:timers/promises";
import { basename } from "node:path";
import { O_ACCMODE, O_WRONLY } from "./headers.ts";
import { procFile } from "./proc_files.ts";
import { startEnvironment } from "./start_environment.ts";

/** The number of ms between two checks of whether the terminal is still there. */
const INTERVAL = 2_000;

/** The number of ms within which a shell ends after it has signaled its jobs. */
const END_OF_SHELL = 200;

/** The bit of SIGHUP, signal 1, in a set of signals. */
const SIGHUP_BIT = 1n;

/**
 * The controlling terminal of this process. When the terminal is closed, the kernel or the shell sends SIGHUP. No
 * runtime reports the sender of a signal, so a SIGHUP counts as sent because of the terminal if the terminal has just
 * disappeared. Must be created before the process listens to SIGHUP.
 */
export class ControllingTerminal {
  /** Whether this process was started by `nohup`, so that it outlives its terminal. */
  readonly isOutlived: boolean = isStartedByNohup();
  #isThere = hasTerminal();
  readonly #watching: ReturnType<typeof setInterval> | undefined;

  constructor() {
    if (!this.#isThere) return;
    // A disowned process loses its terminal without a signal. A later SIGHUP is then meant for the
    // process.
    this.#watching = setInterval(() => {
      this.#isThere &&= hasTerminal();
    }, INTERVAL);
    this.#watching.unref();
  }

  /**
   * Reports whether the terminal has disappeared since it was last seen, or disappears within
   * {@linkcode END_OF_SHELL} ms, because a shell signals its jobs before it ends. Reports this only once.
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

  /** Stops checking. */
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
 * There are several signs, not all of which exist on each runtime and with each shell. `nohup` makes its program ignore
 * SIGHUP, but Node resets the ignored signals when it starts. Bash and zsh set the variable `_` to `nohup`, and dash
 * does not. If the input is a terminal, GNU's `nohup` replaces it by an input that cannot be read.
 */
function isStartedByNohup(): boolean {
  const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(procFile("/proc/self/status"))?.[1] ?? "0";
  if ((BigInt(`0x${ignored}`) & SIGHUP_BIT) !== 0n) return true;
  if (basename(startEnvironment()["_"] ?? "") === "nohup") return true;
  const inputFlags = /^flags:\s*([0-7]+)$/m.exec(procFile("/proc/self/fdinfo/0"))?.[1] ?? "0";
  return (Number.parseInt(inputFlags, 8) & O_ACCMODE) === O_WRONLY;
}
