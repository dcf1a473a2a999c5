import process from "node:process";

/**
 * Waits for the message with which the parent process asks this process to end: on Windows pm2 sends a message
 * instead of a signal.
 */
export class ParentMessage {
  /** Resolves with the cause of the end. */
  readonly first: Promise<string>;
  readonly #listener: (message: unknown) => void;

  constructor(expected: string) {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.first = promise;
    this.#listener = (message) => {
      if (message === expected) resolve("message");
    };
    process.on("message", this.#listener);
  }

  release(): void {
    process.off("message", this.#listener);
  }
}
