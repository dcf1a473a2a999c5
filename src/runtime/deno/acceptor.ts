import type { DenoConn, DenoListener } from "../api/deno.ts";
import { AcceptErrors, FIRST_PAUSE, LONGEST_PAUSE } from "./accept_errors.ts";

/** The codes of the errors for a lack of descriptors or memory, with which the next `accept` fails too. */
const SHORTAGES: readonly unknown[] = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/** The events of an {@linkcode Acceptor}. */
export interface AcceptorEvents {
  /** Called with each accepted connection. The last call may come after the listener was closed. */
  onConn(conn: DenoConn): void;
  /**
   * Called when accepting fails for lack of descriptors or memory, or with an error without a code, but not
   * more often than once per ten seconds.
   */
  onError(error: unknown): void;
}

/** A listener, together with the loop that accepts its connections. */
export class Acceptor {
  readonly listener: DenoListener;
  /** The number of connections that the loop has accepted. */
  accepted = 0;
  readonly #events: AcceptorEvents;
  #isClosed = false;
  #isOver = true;
  #over: Promise<void> = Promise.resolve();
  readonly #errors = new AcceptErrors();
  #endPause = (): void => {};

  constructor(listener: DenoListener, events: AcceptorEvents) {
    this.listener = listener;
    this.#events = events;
  }

  /** Whether the loop is not running. A closed listener may still accept one last connection. */
  get isOver(): boolean {
    return this.#isOver;
  }

  start(): void {
    this.#isOver = false;
    this.#over = this.#acceptAll();
  }

  /** Closes the listener, and resolves when the last accepted connection was passed to `onConn`. */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#endPause();
      this.listener.close();
    }
    await this.#over;
  }

  async #acceptAll(): Promise<void> {
    let pause = FIRST_PAUSE;
    while (!this.#isClosed) {
      const conn = await this.#accept();
      if (conn !== undefined) {
        pause = FIRST_PAUSE;
        this.accepted++;
        this.#events.onConn(conn);
      } else if (!this.#isClosed) {
        await this.#pause(pause);
        pause = Math.min(pause * 2, LONGEST_PAUSE);
      }
    }
    this.#isOver = true;
  }

  /** Returns the next connection, or undefined if the loop has to pause or to end. */
  async #accept(): Promise<DenoConn | undefined> {
    for (;;) {
      try {
        return await this.listener.accept();
      } catch (error) {
        if (this.#isClosed) return undefined;
        // A client that resets its connection in the accept queue makes only this one accept fail.
        if (isOfOneConnection(error)) continue;
        this.#errors.report(error, (error) => this.#events.onError(error));
        return undefined;
      }
    }
  }

  #pause(duration: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, duration);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Returns whether an error of `accept` has a code of the system, and the code is not a shortage. */
function isOfOneConnection(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code !== undefined && !SHORTAGES.includes(code);
}
