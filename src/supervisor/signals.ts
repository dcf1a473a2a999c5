import process from "node:process";
import { hasTerminal } from "../runtime/host/terminal.ts";
import { SignalBurst, TICKS } from "../graceful/signal_burst.ts";

/**
 * The number of further ticks for which a signal counts as a copy: the workers hear a signal later than this process, and
 * must not take the next signal, which is passed on, for a copy.
 */
const DELAY = 5;

/** The functions that signals call. */
export interface SignalActions {
  /** SIGTERM and SIGINT, and SIGHUP when the terminal has gone. */
  stop(signal: NodeJS.Signals, cause: string): void;
  /** SIGHUP. */
  reload(): void;
  /** SIGTTIN and SIGTTOU: one worker more or less. */
  resize(change: 1 | -1): void;
  /** SIGUSR1 and SIGUSR2. */
  pass(signal: NodeJS.Signals): void;
}

/** Calls the actions at the signals of this process, until it is released. */
export class SupervisorSignals {
  readonly #actions: SignalActions;
  /** The last signal to stop, with its copies: a runner sends one Ctrl-C several times. */
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

  /** A terminal that goes away sends the signal, too. */
  #hangUp(): void {
    if (this.#hadTerminal && !hasTerminal()) this.#stop("SIGTERM", "the terminal has gone");
    else this.#actions.reload();
  }
}
