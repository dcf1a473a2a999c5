/**
 * The load: clients on this machine, each with one request at a time, of two kinds. Some open a
 * connection for every request, some keep theirs alive until the server ends it or says that it will.
 */
import { setTimeout as wait } from "node:timers/promises";
import { Connection } from "./connection.ts";
import { Pace } from "./pace.ts";
import { RequestFailure, Tally } from "./tally.ts";

/** How much load there is to be. */
export interface LoadOptions {
  readonly port: number;
  /** How many clients open a connection for every request. */
  readonly fresh: number;
  /** How many clients keep their connections alive. */
  readonly kept: number;
  /**
   * How long a client with a new connection pauses after a response, in ms: a random time up to
   * this.
   *
   * @default {0}
   */
  readonly freshPause?: number;
  /**
   * The same for a client that keeps its connection alive.
   *
   * @default {20}
   */
  readonly keptPause?: number;
  /**
   * How long it is from one request of a client to its next one, in ms, whatever the answer takes:
   * its {@linkcode Pace}. By default a client knows none but its pauses.
   *
   * @default {0}
   */
  readonly interval?: number;
  /**
   * How long the bins of the tally are, in ms.
   *
   * @default {250}
   */
  readonly bin?: number;
  /**
   * After so many requests no further one is sent.
   *
   * @default {10_000_000}
   */
  readonly maxRequests?: number;
  /**
   * After so many milliseconds no further one is sent.
   *
   * @default {3_600_000}
   */
  readonly maxTime?: number;
}

/**
 * How long a client waits after a failure, in ms. A refusal costs nothing: without this a client
 * would turn one moment without a listener into thousands of failures.
 */
const AFTER_FAILURE = 10;

/** Clients at work. */
export class Load {
  readonly tally: Tally;
  readonly #options: LoadOptions;
  readonly #clients: Promise<unknown>;
  #stopped = false;

  /** Starts the clients. */
  constructor(options: LoadOptions) {
    this.#options = options;
    this.tally = new Tally(options.bin);
    const fresh = Array.from(
      { length: options.fresh },
      () => this.#askEachAlone(),
    );
    const kept = Array.from({ length: options.kept }, () => this.#askOnKept());
    this.#clients = Promise.all([...fresh, ...kept]);
    // What goes wrong with the clients themselves is told by stop().
    this.#clients.catch(() => {});
  }

  /** Resolves when the requests in flight are answered; no further ones are sent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.tally.end = Math.min(this.tally.end, performance.now());
    await this.#clients;
    const { requests, answered, failed } = this.tally;
    if (requests === answered + failed) return;
    throw new Error(
      `The load has miscounted: ${requests} are not ${answered} and ${failed}`,
    );
  }

  async #askEachAlone(): Promise<void> {
    const pace = new Pace(this.#options.interval);
    while (await this.#goesOn(pace)) {
      const start = performance.now();
      const connection = new Connection(this.#options.port);
      await this.#ask(
        connection,
        "fresh",
        start,
        this.#options.freshPause ?? 0,
      );
      connection.close();
    }
  }

  async #askOnKept(): Promise<void> {
    let connection: Connection | undefined;
    const pace = new Pace(this.#options.interval);
    while (await this.#goesOn(pace)) {
      const start = performance.now();
      if (!connection?.usable) {
        connection?.close();
        connection = new Connection(this.#options.port);
      }
      await this.#ask(connection, "kept", start, this.#options.keptPause ?? 20);
    }
    connection?.close();
  }

  /** Waits until it is time for the next request, and tells whether there is to be one. */
  async #goesOn(pace: Pace): Promise<boolean> {
    await pace.next();
    const { maxRequests = 10_000_000, maxTime = 3_600_000 } = this.#options;
    const { requests, start } = this.tally;
    return !this.#stopped && requests < maxRequests &&
      performance.now() - start < maxTime;
  }

  /** Asks once, and pauses. */
  async #ask(
    connection: Connection,
    kind: string,
    start: number,
    pause: number,
  ): Promise<void> {
    const path = `/${kind}/${++this.tally.requests}`;
    try {
      const pid = await connection.ask(path);
      this.tally.answer(pid, performance.now() - start);
    } catch (error) {
      if (!(error instanceof RequestFailure)) throw error;
      this.tally.fail(error);
      pause = Math.max(pause, AFTER_FAILURE);
    }
    if (pause > 0) await wait(Math.random() * pause);
  }
}
