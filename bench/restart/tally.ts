/** What became of the requests, counted: in all, in time, and by the process that answered. */

/** The ways in which a request can fail. */
export type FailureKind =
  /** Nobody listened. */
  | "refused"
  /** The connection could not be made for another reason. */
  | "connect"
  /** A kept-alive connection was closed, and the next request was already on its way. */
  | "crossed"
  /** The connection was reset before the whole response was there. */
  | "reset"
  /** The connection ended before the whole response was there. */
  | "cut"
  /** The response was complete and had another status than 200. */
  | "status"
  /** The response was the answer to something else, or none in HTTP. */
  | "wrong"
  /** Nothing came for 10 s. */
  | "timeout";

/** A request that failed. */
export class RequestFailure extends Error {
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string) {
    super(message);
    this.name = "RequestFailure";
    this.kind = kind;
  }
}

/** What has ended within one span of time. */
export interface Bin {
  /** The requests that were answered, by the process that did. */
  readonly answered: Map<number, number>;
  failed: number;
  /** The longest time from a request, its connection included, to the end of its response: ms. */
  slowest: number;
}

/** How long a bin is unless the tally was made with another length, in ms. */
export const BIN = 250;

/** How many messages of failures are kept. */
const MESSAGES = 10;

/** Counts. Its clock starts when it is made. */
export class Tally {
  /** How long its bins are, in ms. */
  readonly bin: number;
  /** When it was made, on the clock of `performance.now()`. */
  readonly start: number = performance.now();
  /** When the last request was sent; infinite until then. */
  end: number = Infinity;
  readonly bins: Bin[] = [];
  readonly failures: Map<FailureKind, number> = new Map();
  /** The messages of the first failures, each with its time. */
  readonly messages: string[] = [];
  /** When each process answered for the first time, on the clock of `performance.now()`. */
  readonly firstAnswers: Map<number, number> = new Map();
  /** The requests that were sent, or were to be sent when their connection failed. */
  requests = 0;
  answered = 0;
  failed = 0;
  /** The longest time from a request, its connection included, to the end of its response: ms. */
  slowest = 0;

  constructor(bin: number = BIN) {
    this.bin = bin;
  }

  /** Counts a request as answered by the process. */
  answer(pid: number, took: number): void {
    const now = performance.now();
    this.answered++;
    this.slowest = Math.max(this.slowest, took);
    if (!this.firstAnswers.has(pid)) this.firstAnswers.set(pid, now);
    const bin = this.#binAt(now);
    bin.answered.set(pid, (bin.answered.get(pid) ?? 0) + 1);
    bin.slowest = Math.max(bin.slowest, took);
  }

  /** Counts a request as failed. */
  fail({ kind, message }: RequestFailure): void {
    const now = performance.now();
    this.failed++;
    this.failures.set(kind, (this.failures.get(kind) ?? 0) + 1);
    this.#binAt(now).failed++;
    if (this.messages.length >= MESSAGES) return;
    this.messages.push(
      `${((now - this.start) / 1_000).toFixed(3)} s: ${kind}: ${message}`,
    );
  }

  /** How many requests were answered in each whole bin between two times. */
  answeredBetween(from: number, to: number): number[] {
    return this.#binsBetween(from, to).map((bin) =>
      [...bin?.answered.values() ?? []].reduce((a, b) => a + b, 0)
    );
  }

  /** How long the slowest answer within the whole bins between two times has taken, in ms. */
  slowestBetween(from: number, to: number): number {
    return Math.max(0, ...this.#binsBetween(from, to).map((bin) => bin?.slowest ?? 0));
  }

  /** The whole bins between two times. A bin in which nothing has ended may be undefined. */
  #binsBetween(from: number, to: number): (Bin | undefined)[] {
    const first = Math.ceil((from - this.start) / this.bin);
    const end = Math.floor((to - this.start) / this.bin);
    return Array.from({ length: Math.max(end - first, 0) }, (_, i) => this.bins[first + i]);
  }

  #binAt(time: number): Bin {
    const index = Math.floor((time - this.start) / this.bin);
    while (this.bins.length <= index) {
      this.bins.push({ answered: new Map(), failed: 0, slowest: 0 });
    }
    return this.bins[index]!;
  }
}
