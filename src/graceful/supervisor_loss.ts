import { isSupervisorGone, supervisor } from "../listener/inheritance.ts";

/** The number of milliseconds between two checks of whether the supervisor is gone. No event reports that. */
const INTERVAL = 100;

/** Waits for the end of the supervisor, if this process is a worker of a supervisor. */
export class SupervisorLoss {
  /** Resolves with the cause of the end. */
  readonly first: Promise<string>;
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.first = promise;
    if (supervisor() === undefined) return;
    this.#timer = setInterval(() => {
      if (isSupervisorGone()) resolve("disconnected");
    }, INTERVAL);
    this.#timer.unref();
  }

  release(): void {
    clearInterval(this.#timer);
  }
}
