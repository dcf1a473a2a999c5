/**
 * The handshakes that Linux defers for a listener with the option TCP_DEFER_ACCEPT, which Bun sets on its
 * listeners: for up to a second, the kernel ignores the end of a handshake that brings no data. The client
 * believes that it is connected, and a close of the listener would reset the connection.
 *
 * The kernel repeats its part of such a handshake a second after the first segment. The answer to that, or the
 * first data of the client, ends the handshake, and the connection enters the accept queue.
 */
import { keyOf } from "../../core/addr.ts";
import type { Handshake } from "./socket_diagnosis.ts";

/** The number of ms for which the handshakes may last: the second of the kernel, and a slow round trip. */
const LONGEST = 1_500;

/** The least number of ms between two looks at the handshakes. */
const INTERVAL = 10;

/** The least pause between two looks at the handshakes, as a multiple of the time that a look takes. */
const SHARE = 4;

/** The handshakes of one listener that were deferred at one moment. */
export class DeferredHandshakes {
  readonly #pending: () => readonly Handshake[];
  /** The clients of the handshakes that had not ended at the last look. */
  #left: ReadonlySet<string>;

  /** `pending` returns the handshakes with the listener that have not ended. */
  constructor(pending: () => readonly Handshake[]) {
    this.#pending = pending;
    // A client that does not answer the repetition is gone.
    this.#left = clientsOf(pending().filter(({ isRepeated }) => !isRepeated));
  }

  /** The number of the handshakes that had not ended at the last look. */
  get size(): number {
    return this.#left.size;
  }

  /** Resolves when the handshakes have ended, or `force` aborts, or {@linkcode LONGEST} ms have passed. */
  async end(force: AbortSignal): Promise<void> {
    const start = performance.now();
    while (this.#left.size > 0 && !force.aborted && performance.now() - start < LONGEST) {
      const looked = this.#look();
      await sleep(Math.max(INTERVAL, SHARE * looked), force);
    }
    this.#left = new Set();
  }

  /** Finds the handshakes that are left, and returns the number of ms that this has taken. */
  #look(): number {
    const start = performance.now();
    this.#left = this.#left.intersection(clientsOf(this.#pending()));
    return performance.now() - start;
  }
}

function clientsOf(handshakes: readonly Handshake[]): Set<string> {
  return new Set(handshakes.map(({ client }) => keyOf(client)));
}

/** Resolves after `ms`, or when `force` aborts. */
function sleep(ms: number, force: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      force.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    force.addEventListener("abort", end);
  });
}
