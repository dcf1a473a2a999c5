import process from "node:process";
import type { Failures } from "./failures.ts";
import { setExitCode } from "./exit.ts";

/** The events of a process that report an exception. */
const EXCEPTIONS = ["uncaughtException", "unhandledRejection"] as const;

/**
 * Listens for uncaught exceptions and unhandled rejections. The first one starts the end of the process, and all of
 * them are recorded as failures.
 */
export class Exceptions {
  /** Resolves with the name of the event that starts the end. */
  readonly first: Promise<string>;
  readonly #listeners: readonly [typeof EXCEPTIONS[number], (error: unknown) => void][];

  constructor(failures: Failures) {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.first = promise;
    this.#listeners = EXCEPTIONS.map((event) => [event, (error) => {
      failures.add(event, error);
      setExitCode(1);
      resolve(event);
    }]);
    for (const [event, listener] of this.#listeners) process.on(event, listener);
  }

  /** Stops listening, so that the runtime again ends the process at an uncaught exception. */
  release(): void {
    for (const [event, listener] of this.#listeners) process.off(event, listener);
  }
}
