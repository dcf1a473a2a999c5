import { constants } from "node:os";
import process from "node:process";
import { isOnTerminal } from "../runtime/terminal.ts";

/**
 * In ms: one Ctrl-C comes twice to what `bun run`, `deno task` or `node --watch` has started, from the
 * terminal and from them, within about 1 ms. Nobody presses it twice so fast.
 */
const SAME_PRESS = 100;

/** The signals of the process, for as long as `graceful` runs. */
export class ProcessSignals {
  /** Resolves with the name of the first one. */
  readonly first: Promise<NodeJS.Signals>;
  readonly #names: readonly NodeJS.Signals[];
  readonly #interrupt: (name: NodeJS.Signals, exitCode: number) => void;
  readonly #onFirst: (name: NodeJS.Signals) => void;
  #isEnding = false;
  #lastPress = -Infinity;

  /** `interrupt` is told of one that comes during the end, right before that of the process. */
  constructor(
    names: readonly NodeJS.Signals[],
    interrupt: (name: NodeJS.Signals, exitCode: number) => void,
  ) {
    this.#names = names;
    this.#interrupt = interrupt;
    const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
    this.first = promise;
    this.#onFirst = resolve;
    for (const name of names) process.on(name, this.#onSignal);
  }

  /** From now on the next signal is the second one, whatever the end was started by. */
  expectSecond(): void {
    this.#isEnding = true;
  }

  release(): void {
    for (const name of this.#names) process.off(name, this.#onSignal);
  }

  #onSignal = (name: NodeJS.Signals): void => {
    if (name === "SIGINT" && this.#isSamePress()) return;
    if (!this.#isEnding) {
      this.#isEnding = true;
      return this.#onFirst(name);
    }
    // What a shell says of a process that a signal has ended.
    const exitCode = 128 + constants.signals[name];
    this.#interrupt(name, exitCode);
    process.exit(exitCode);
  };

  #isSamePress(): boolean {
    const now = performance.now();
    const isSame = now - this.#lastPress < SAME_PRESS && isOnTerminal();
    this.#lastPress = now;
    return isSame;
  }
}
