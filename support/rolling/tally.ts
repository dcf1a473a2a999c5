import type { Answerer } from "./answer.ts";

/**
 * How a request fails: the status of a response that is not 200; nobody listened; its connection was
 * reset, or closed, before the whole response was there; nothing came for 10 s; the response was
 * complete, and not the answer to this request.
 */
export type FailureKind = `${number}` | "refused" | "reset" | "closed" | "timeout" | "wrong";

/** A request that failed. */
export class RequestFailure extends Error {
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string) {
    super(message);
    this.name = "RequestFailure";
    this.kind = kind;
  }
}

/** A request that was answered. The times are on the clock of `performance.now()`. */
export interface Answered extends Answerer {
  readonly start: number;
  readonly end: number;
}

/** A request that was not. */
export interface Failed {
  readonly kind: FailureKind;
  readonly message: string;
  /** When that was known, on the clock of `performance.now()`. */
  readonly end: number;
}

/** What became of the requests, one by one. */
export class RollingTally {
  readonly answered: Answered[] = [];
  readonly failed: Failed[] = [];

  /** How many are done with. */
  get requests(): number {
    return this.answered.length + this.failed.length;
  }

  answer({ runtime, pid }: Answerer, start: number): void {
    this.answered.push({ runtime, pid, start, end: performance.now() });
  }

  fail({ kind, message }: RequestFailure): void {
    this.failed.push({ kind, message, end: performance.now() });
  }
}
