import { ofProcess } from "../core/process_state.ts";
import { constants } from "node:os";
import process from "node:process";
import { refuse } from "../options/checks.ts";
import { watchOwnSignals } from "./own_signals.ts";
import { SignalBurst } from "./signal_burst.ts";

/** The signal handling of this process. */
interface SignalState {
  /** The signal handling of the calls of `graceful` that still run, or after which the process ends. */
  readonly listening: Set<GracefulSignals>;
  /** The last signal that started an end, with its copies. */
  readonly burst: SignalBurst;
  stopWatching: (() => void) | undefined;
}

const signalState = (): SignalState => ofProcess(newSignalState);
const newSignalState = (): SignalState => ({
  listening: new Set(),
  burst: new SignalBurst(),
  stopWatching: undefined,
});

/** The signal handling of one call of `graceful`. */
export class GracefulSignals {
  /** Resolves with the name of the signal that starts the end of the call. */
  readonly first: Promise<NodeJS.Signals>;
  readonly #names: readonly NodeJS.Signals[];
  readonly #interrupt: (name: NodeJS.Signals, exitCode: number) => void;
  readonly #resolveFirst: (name: NodeJS.Signals) => void;
  #isEnding = false;

  /**
   * Starts to listen to signals. `interrupt` is called for a signal that forces the end, right before the process ends.
   *
   * @throws {TypeError} If the runtime does not let a process listen to one of the signals.
   */
  constructor(
    names: readonly NodeJS.Signals[],
    interrupt: (name: NodeJS.Signals, exitCode: number) => void,
  ) {
    this.#names = names;
    this.#interrupt = interrupt;
    const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
    this.first = promise;
    this.#resolveFirst = resolve;
    signalState().listening.add(this);
    for (const name of names) this.#listen(name);
  }

  #listen(name: NodeJS.Signals): void {
    if (process.listeners(name).includes(onSignal)) return;
    try {
      process.on(name, onSignal);
    } catch {
      this.release();
      refuse(
        "call graceful() as 'signals'",
        "signals that this runtime lets a process listen to",
        name,
      );
    }
  }

  get isEnding(): boolean {
    return this.#isEnding;
  }

  listensTo(name: string): boolean {
    return this.#names.some((own) => own === name);
  }

  /** Makes the next signal force the end. Must be called when the end has started, whatever started it. */
  expectForce(): void {
    this.#isEnding = true;
    signalState().stopWatching ??= watchOwnSignals(onOwnSignal);
  }

  /**
   * Makes signals that follow soon count as copies. Must be called when the loss of the primary has started the
   * end: a service manager signals the whole process group, and a worker may notice the end of its primary before
   * its own signal.
   */
  expectCopies(): void {
    signalState().burst.begin();
  }

  startEnd(name: NodeJS.Signals): void {
    this.expectForce();
    this.#resolveFirst(name);
  }

  interrupt(name: NodeJS.Signals, exitCode: number): void {
    this.#interrupt(name, exitCode);
  }

  /**
   * Stops listening. Must not be called if the process ends after this call of `graceful`: a copy of the signal that
   * started the end would end the process in the runtime's own way, with another exit code.
   */
  release(): void {
    const state = signalState();
    const { listening, burst } = state;
    listening.delete(this);
    for (const name of this.#names) {
      const isNeeded = [...listening].some((other) => other.listensTo(name));
      if (!isNeeded) process.off(name, onSignal);
    }
    if ([...listening].some(({ isEnding }) => isEnding)) return;
    state.stopWatching?.();
    state.stopWatching = undefined;
    if (listening.size === 0) burst.end();
  }
}

/** Reports whether a listener of a signal belongs to this module. */
export function isOwnListener(listener: unknown): boolean {
  return listener === onSignal;
}

/**
 * Handles a signal for all calls together: a signal that starts the end of one call must not force the end of
 * another.
 */
function onSignal(name: NodeJS.Signals): void {
  const { listening, burst } = signalState();
  const calls = [...listening];
  const starting = calls.filter((call) => call.listensTo(name) && !call.isEnding);
  for (const call of starting) call.startEnd(name);
  if (burst.isOn) return;
  const isSecond = starting.length === 0 && calls.every(({ isEnding }) => isEnding);
  if (isSecond) force(name, calls);
  else burst.begin();
}

/** Handles a signal that this process sends to itself, which means that a library has finished its own shutdown. */
function onOwnSignal(name: string): void {
  const { listening, burst } = signalState();
  if ([...listening].some((call) => call.listensTo(name))) burst.begin();
}

function force(name: NodeJS.Signals, calls: readonly GracefulSignals[]): never {
  // A shell reports this code for a process that was ended by the signal.
  const exitCode = 128 + constants.signals[name];
  for (const call of calls) call.interrupt(name, exitCode);
  process.exit(exitCode);
}
