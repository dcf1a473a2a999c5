import { reportError } from "./report_error.ts";
import { type ConnInfo, inFlight, type RequestInFlight } from "./conn.ts";
import type { Addr } from "./addr.ts";

/** The client and the request by which a piece of work is listed. */
export interface WorkOrigin {
  readonly remoteAddr: Addr;
  /** The request that the work belongs to, if there is one. */
  readonly request: RequestInFlight | undefined;
}

/** The descriptions that {@linkcode PendingWork.snapshot} has returned, which describe background work. */
const background = new WeakSet<ConnInfo>();

/** Reports whether a description stands for background work and not for a connection. */
export function isBackgroundWork(info: ConnInfo): boolean {
  return background.has(info);
}

/** The promises of `waitUntil`: work that continues after a response, and that a drain waits for. */
export class PendingWork {
  readonly #open = new Map<object, WorkOrigin & { readonly since: number }>();
  #onChange = (): void => {};

  /** Sets the function that is called whenever a piece of work is done. */
  startDrain(onChange: () => void): void {
    this.#onChange = onChange;
  }

  /** Keeps a promise until the promise settles. A rejection is reported. */
  add(promise: PromiseLike<unknown>, origin: WorkOrigin): void {
    const key = {};
    this.#open.set(key, { ...origin, since: performance.now() });
    settled(promise).then(() => {
      this.#open.delete(key);
      this.#onChange();
    });
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Forgets the work that is not done. To be called when the server is closed by force. */
  abandon(): void {
    this.#open.clear();
  }

  /** Returns each piece of work in the form of an active connection, because a drain waits for both. */
  snapshot(now: number): ConnInfo[] {
    return [...this.#open.values()].map(({ remoteAddr, request, since }) => {
      const info = {
        state: "active" as const,
        age: now - (request?.since ?? since),
        remoteAddr,
        ...inFlight(request, now),
      };
      background.add(info);
      return info;
    });
  }
}

/** Resolves when a promise has settled. Never throws or rejects, whatever the members of the promise do. */
async function settled(promise: PromiseLike<unknown>): Promise<void> {
  try {
    await promise;
  } catch (error) {
    reportError(error);
  }
}
