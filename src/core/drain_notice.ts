import { attempt } from "./attempt.ts";

/** Tells the code of a server's user that the drain has started. */
export class DrainNotice {
  readonly #server: AbortController = guardedController();
  readonly #requests = new Set<AbortController>();

  /** The signal of the server itself, which lives as long as the server does. */
  get signal(): AbortSignal {
    return this.#server.signal;
  }

  /**
   * Returns a signal for one request, which is forgotten with its listeners when the request is over.
   * `onEnd` registers the function that it is given to be called then.
   */
  signalFor(onEnd: (release: () => void) => void): AbortSignal {
    if (this.signal.aborted) return AbortSignal.abort(this.signal.reason);
    const controller = guardedController();
    this.#requests.add(controller);
    onEnd(() => this.#requests.delete(controller));
    return controller.signal;
  }

  /** Aborts the signals. A listener that throws is reported, and stops nothing. */
  start(reason: unknown): void {
    this.#server.abort(reason);
    for (const controller of this.#requests) controller.abort(reason);
    this.#requests.clear();
  }
}

type Listener = EventListener | EventListenerObject;

/**
 * Makes a controller whose signal reports what a listener of it throws or rejects with. A runtime would
 * end the process for that, with every request in flight. Listeners of a signal that was derived from
 * this one, by `AbortSignal.any` for example, are out of reach.
 */
function guardedController(): AbortController {
  const controller = new AbortController();
  const { signal } = controller;
  const guards = new WeakMap<Listener, EventListener>();
  const guarded = (listener: Listener): EventListener => {
    const known = guards.get(listener);
    if (known !== undefined) return known;
    const guard = guardOf(listener);
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
  guardHandlerProperty(signal);
  return controller;
}

function isListener(value: unknown): value is Listener {
  return typeof value === "function" || (typeof value === "object" && value !== null);
}

function guardOf(listener: Listener): EventListener {
  return function (this: AbortSignal, event: Event): void {
    attempt(() =>
      typeof listener === "function" ? listener.call(this, event) : listener.handleEvent(event)
    );
  };
}

/** Guards a listener that is assigned to `onabort`. */
function guardHandlerProperty(signal: AbortSignal): void {
  const native = Object.getOwnPropertyDescriptor(AbortSignal.prototype, "onabort");
  // A runtime that keeps the handler in another way is left as it is.
  if (native?.set === undefined) return;
  let current: unknown = null;
  Object.defineProperty(signal, "onabort", {
    configurable: true,
    get: () => current,
    set: (handler: unknown) => {
      current = handler;
      native.set!.call(signal, typeof handler === "function" ? guardOf(handler as never) : null);
    },
  });
}
