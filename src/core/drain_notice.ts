import { attempt } from "./attempt.ts";

/** The signals that tell the application code of a server that the drain has started. */
export class DrainNotice {
  readonly #returned: Promise<unknown>[] = [];
  readonly #onReturned = (promise: Promise<unknown>): void => void this.#returned.push(promise);
  readonly #server: AbortController = guardedController(this.#onReturned);
  readonly #requests = new Set<AbortController>();

  /** The signal of the server itself, which lives as long as the server. */
  get signal(): AbortSignal {
    return this.#server.signal;
  }

  /**
   * Returns a signal for one request. The signal and its listeners are dropped when the request is over:
   * `onEnd` must arrange that the function it is given is called then.
   */
  signalFor(onEnd: (release: () => void) => void): AbortSignal {
    if (this.signal.aborted) return AbortSignal.abort(this.signal.reason);
    const controller = guardedController(this.#onReturned);
    this.#requests.add(controller);
    onEnd(() => this.#requests.delete(controller));
    return controller.signal;
  }

  /**
   * Aborts the signal of the server and the signals of all open requests. An error that a listener throws
   * is reported, and stops nothing.
   */
  start(reason: unknown): void {
    this.#server.abort(reason);
    for (const controller of this.#requests) controller.abort(reason);
    this.#requests.clear();
  }

  /** Resolves when all promises that listeners have returned are settled. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#returned);
  }
}

type Listener = EventListener | EventListenerObject;

/** A function that is called with each promise that a listener returns. */
type OnReturned = (promise: Promise<unknown>) => void;

/**
 * Returns a controller whose signal reports what a listener throws or rejects with. Without this, the
 * runtime would end the process, with every request in flight. Listeners of a derived signal, for example
 * of `AbortSignal.any`, cannot be guarded.
 */
function guardedController(onReturned: OnReturned): AbortController {
  const controller = new AbortController();
  const { signal } = controller;
  const guards = new WeakMap<Listener, EventListener>();
  const guarded = (listener: Listener): EventListener => {
    const known = guards.get(listener);
    if (known !== undefined) return known;
    const guard = guardOf(listener, onReturned);
    guards.set(listener, guard);
    return guard;
  };
  for (const name of ["addEventListener", "removeEventListener"] as const) {
    const method = signal[name].bind(signal);
    Object.defineProperty(signal, name, {
      configurable: true,
      value: (type: string, listener: Listener | null, options?: AddEventListenerOptions) =>
        method(type, isListener(listener) ? guarded(listener) : listener!, options),
    });
  }
  guardHandlerProperty(signal, onReturned);
  return controller;
}

function isListener(value: unknown): value is Listener {
  return typeof value === "function" || (typeof value === "object" && value !== null);
}

function guardOf(listener: Listener, onReturned: OnReturned): EventListener {
  return function (this: AbortSignal, event: Event): void {
    attempt(() => {
      const result: unknown = typeof listener === "function"
        ? listener.call(this, event)
        : listener.handleEvent(event);
      if (result instanceof Promise) onReturned(result);
      return result;
    });
  };
}

/** Guards a handler that is assigned to `onabort`. */
function guardHandlerProperty(signal: AbortSignal, onReturned: OnReturned): void {
  const native = Object.getOwnPropertyDescriptor(AbortSignal.prototype, "onabort");
  // A runtime without this setter stores the handler in another way, which cannot be guarded.
  if (native?.set === undefined) return;
  let current: unknown = null;
  Object.defineProperty(signal, "onabort", {
    configurable: true,
    get: () => current,
    set: (handler: unknown) => {
      current = handler;
      native.set!.call(
        signal,
        typeof handler === "function" ? guardOf(handler as never, onReturned) : null,
      );
    },
  });
}
