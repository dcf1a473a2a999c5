import { constants } from "node:os";
import process from "node:process";
import { refuse } from "../checks.ts";
import { isOnTerminal } from "../runtime/terminal.ts";

/**
 * In ms: one Ctrl-C comes twice to what `bun run`, `deno task` or `node --watch` has started, from the
 * terminal and from them, within about 1 ms. Nobody presses it twice so fast.
 */
const SAME_PRESS = 100;

/** Those of the calls of `graceful` that are not done. */
const listening = new Set<GracefulSignals>();
let lastPress = -Infinity;

/** What one call of `graceful` has to do with the signals of the process. */
export class GracefulSignals {
  /** Resolves with the name of the one that starts its end. */
  readonly first: Promise<NodeJS.Signals>;
  readonly #names: readonly NodeJS.Signals[];
  readonly #interrupt: (name: NodeJS.Signals, exitCode: number) => void;
  readonly #resolveFirst: (name: NodeJS.Signals) => void;
  #isEnding = false;

  /**
   * `interrupt` is told of one that forces, right before the end of the process.
   *
   * @throws {TypeError} If the runtime does not let a process listen to one of them.
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
    listening.add(this);
    for (const name of names) this.#listen(name);
  }

  #listen(name: NodeJS.Signals): void {
    if (process.listeners(name).includes(onSignal)) return;
    try {
      process.on(name, onSignal);
    } catch {
      this.release();
      refuse(
        "be graceful as 'signals'",
        "signals that this runtime lets a process listen to",
        name,
      );
    }
  }

  get isEnding(): boolean {
    return this.#isEnding;
  }

  listensTo(name: NodeJS.Signals): boolean {
    return this.#names.includes(name);
  }

  /** Whatever it was that started the end: from now on a signal forces. */
  expectForce(): void {
    this.#isEnding = true;
  }

  startEnd(name: NodeJS.Signals): void {
    this.#isEnding = true;
    this.#resolveFirst(name);
  }

  interrupt(name: NodeJS.Signals, exitCode: number): void {
    this.#interrupt(name, exitCode);
  }

  release(): void {
    listening.delete(this);
    for (const name of this.#names) {
      const isNeeded = [...listening].some((other) => other.listensTo(name));
      if (!isNeeded) process.off(name, onSignal);
    }
  }
}

/** One listener for all calls: a signal that starts the end of one must not force another. */
function onSignal(name: NodeJS.Signals): void {
  if (name === "SIGINT" && isSamePress()) return;
  const calls = [...listening];
  const starting = calls.filter((call) => call.listensTo(name) && !call.isEnding);
  for (const call of starting) call.startEnd(name);
  const isSecond = starting.length === 0 && calls.every(({ isEnding }) => isEnding);
  if (isSecond) force(name, calls);
}

function force(name: NodeJS.Signals, calls: readonly GracefulSignals[]): never {
  // What a shell says of a process that a signal has ended.
  const exitCode = 128 + constants.signals[name];
  for (const call of calls) call.interrupt(name, exitCode);
  process.exit(exitCode);
}

function isSamePress(): boolean {
  const now = performance.now();
  const isSame = now - lastPress < SAME_PRESS && isOnTerminal();
  lastPress = now;
  return isSame;
}
