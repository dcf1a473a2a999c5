import type { DenoConn, DenoListener } from "../api/deno.ts";

/**
 * The shortest and the longest wait in ms when the process is out of descriptors or memory: Go's figures.
 */
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 1_000;

/**
 * The number of ms between two reports of a shortage, which as a rule fails every accept while it lasts.
 */
const REPORT_INTERVAL = 10_000;

/** The codes of errors that the next `accept` would meet as well. */
const SHORTAGES: readonly unknown[] = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/** The events of an {@linkcode Acceptor}. */
export interface AcceptorEvents {
  /** A connection has been accepted. It may come after the listener was closed. */
  onConn(conn: DenoConn): void;
  /** The process is out of descriptors or memory. */
  onError(error: unknown): void;
}

/** A listener, and the loop that accepts on it. */
export class Acceptor {
  readonly listener: DenoListener;
  /** The number of connections that have been accepted. */
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

  /** Whether no connection comes any more: a closed listener may still bring the last one. */
  get isOver(): boolean {
    return this.#isOver;
  }

  start(): void {
    this.#isOver = false;
    this.#over = this.#acceptAll();
  }

  /** Refuses new connections at once, and resolves when the last one accepted has been brought. */
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

  /** The next connection, or undefined where trying again at once would be of no use. */
  async #accept(): Promise<DenoConn | undefined> {
    for (;;) {
      try {
        return await this.listener.accept();
      } catch (error) {
        if (this.#isClosed) return undefined;
        // A connection that its client reset while it waited fails its accept, and no other.
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
 * Replaces the stack of an error, which says nothing but that a server accepts. To make it Deno reads
 * files, and without a descriptor for them it panics.
 */
function dropStack(error: Error): void {
  error.stack = `${error.name}: ${error.message}`;
}

/** Whether the system has said why, and that is nothing that the next accept would meet as well. */
function isOfOneConnection(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code !== undefined && !SHORTAGES.includes(code);
}
