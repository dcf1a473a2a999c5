import process from "node:process";
import { hasTerminal } from "../runtime/host/terminal.ts";
import { SignalBurst, TICKS } from "../graceful/signal_burst.ts";

/**
 * The number of additional ticks for which a signal counts as a copy here. Workers get a signal later than this
 * process: when the next signal is passed on to them, their own time for copies must be over.
 */
const DELAY = 5;

/** The functions that the signals of a supervisor call. */
export interface SignalActions {
  /** Called at SIGTERM and SIGINT, and at SIGHUP when the terminal was closed. */
  stop(signal: NodeJS.Signals, cause: string): void;
  /** Called at SIGHUP. */
  reload(): void;
  /** Called at SIGTTIN with 1, and at SIGTTOU with -1: one worker more or less. */
  resize(change: 1 | -1): void;
  /** Called at SIGUSR1 and SIGUSR2. */
  pass(signal: NodeJS.Signals): void;
}

/** Calls the actions at the signals of this process, until `release` is called. */
export class SupervisorSignals {
  readonly #actions: SignalActions;
  /** The last signal that stops the service, with its copies: runners send several signals for one Ctrl-C. */
  readonly #burst = new SignalBurst(TICKS + DELAY);
  readonly #hadTerminal: boolean = hasTerminal();
  readonly #listeners: Readonly<Partial<Record<NodeJS.Signals, () => void>>> = {
    SIGTERM: () => this.#stop("SIGTERM"),
    SIGINT: () => this.#stop("SIGINT"),
    SIGHUP: () => this.#hangUp(),
    SIGTTIN: () => this.#actions.resize(1),
    SIGTTOU: () => this.#actions.resize(-1),
    SIGUSR1: () => this.#actions.pass("SIGUSR1"),
    SIGUSR2: () => this.#actions.pass("SIGUSR2"),
  };

  constructor(actions: SignalActions) {
    this.#actions = actions;
    for (const [name, listener] of Object.entries(this.#listeners)) process.on(name, listener);
  }

  release(): void {
    for (const [name, listener] of Object.entries(this.#listeners)) process.off(name, listener);
    this.#burst.end();
  }

  #stop(signal: NodeJS.Signals, cause: string = signal): void {
    if (this.#burst.isOn) return;
    this.#burst.begin();
    this.#actions.stop(signal, cause);
  }

  /** Handles SIGHUP, which is also sent when the terminal is closed. */
  #hangUp(): void {
    if (this.#hadTerminal && !hasTerminal()) this.#stop("SIGTERM", "the terminal has gone");
    else this.#actions.reload();
  }
}
