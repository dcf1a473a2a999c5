import type { DenoConn, DenoListener } from "../api/deno.ts";

/**
 * The number of ms of the first pause after accepting has failed for lack of descriptors or memory. Go uses
 * the same.
 */
const FIRST_PAUSE = 5;
/** The number of ms up to which the pauses double while accepting fails. Go uses the same. */
const LONGEST_PAUSE = 1_000;

/** The least number of ms between two reports of a shortage, during which usually every accept fails. */
const REPORT_INTERVAL = 10_000;

/** The codes of the errors for a lack of descriptors or memory, with which the next `accept` fails too. */
const SHORTAGES: readonly unknown[] = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/** The events of an {@linkcode Acceptor}. */
export interface AcceptorEvents {
  /** Called with each accepted connection. The last call may come after the listener was closed. */
  onConn(conn: DenoConn): void;
  /**
   * Called when accepting fails for lack of descriptors or memory, or with an error without a code, but not
   * more often than once per {@linkcode REPORT_INTERVAL}.
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
  #reportedAt = -Infinity;
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
        this.#report(error);
        return undefined;
      }
    }
  }

  #report(error: unknown): void {
    const now = performance.now();
    if (now - this.#reportedAt < REPORT_INTERVAL) return;
    this.#reportedAt = now;
    if (error instanceof Error) dropStack(error);
    this.#events.onError(error);
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

/**
 * Replaces the stack of an error of `accept`. To format the stack, Deno reads files, and Deno panics if no
 * descriptor is left for them. The stack would only say that a server accepts.
 */
function dropStack(error: Error): void {
  error.stack = `${error.name}: ${error.message}`;
}

/** Returns whether an error of `accept` has a code of the system, and the code is not a shortage. */
function isOfOneConnection(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code !== undefined && !SHORTAGES.includes(code);
}
