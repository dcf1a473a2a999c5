import { complain } from "./complain.ts";
import type { Addr, ConnInfo } from "./conn.ts";
import type { Driver, Engine } from "./runtime/driver.ts";
import type { ShutdownReport } from "./report.ts";
import { ServerClosedError, ShutdownIncompleteError } from "./errors.ts";
import { checkShutdown, type ShutdownOptions } from "./options.ts";
import { Changes, drain } from "./shutdown.ts";

/**
 * A server that shuts down like Go's `http.Server`, whatever runs it.
 *
 * @example
 * ```ts
 * import { serve } from "@x/graceful";
 *
 * const server = await serve(() => new Response("hello"), { port: 0 });
 * console.log(await (await fetch(server.url)).text()); // hello
 * await server.shutdown({ timeout: 15_000 });
 * ```
 */
export interface Server extends AsyncDisposable {
  /** Where it listens. */
  readonly addr: Addr;
  /**
   * A URL that reaches it from this machine. For a unix socket, `http+unix:` and its path. Of a server
   * of `serveTcp`, `tcp:` and `tcp+unix:`.
   */
  readonly url: string;
  /** What runs its HTTP. `"node"` for a server of `serveTcp`, which runs on `node:net`. */
  readonly engine: Engine;
  /** How a successor gets its listener; undefined if that is not one that can be handed on. */
  readonly handoff: "inherit" | "reuseport" | undefined;
  /** `"serving"`, then `"draining"` once and for good, then `"closed"`. */
  readonly state: "serving" | "draining" | "closed";
  /** Aborts when the drain starts, or when the server is closed without one. */
  readonly draining: AbortSignal;
  /** Resolves when the server is closed: after a complete drain, or after `close()`. Never rejects. */
  readonly finished: Promise<void>;
  /** The open connections, for logs and reports. */
  connections(): ConnInfo[];
  /**
   * Registers a function to call when a shutdown starts, as Go's `RegisterOnShutdown` does: to end
   * long-lived connections, say. It is started, not waited for. One that throws is reported on the
   * console and stops nothing.
   *
   * @throws {ServerClosedError} If the drain has already started.
   */
  onShutdown(fn: () => unknown): void;
  /**
   * Closes the listeners, then the idle connections, and waits for the others to become idle:
   * Go's `Shutdown`. May be called many times and at once: all calls join the one drain, each with
   * its own deadline. After `close()` it resolves.
   *
   * It does not close what is active, and does not wait for what the handlers do after their
   * response.
   *
   * @throws {ShutdownIncompleteError} If `timeout` passes or `signal` aborts before the last
   * connection is gone. Nothing is closed by that.
   * @throws {TypeError} If an option has the wrong type.
   * @throws {RangeError} If an option is out of range.
   * @throws The first error of closing a listener, once the drain is complete.
   */
  shutdown(options?: ShutdownOptions): Promise<ShutdownReport>;
  /**
   * Closes the listeners and every connection at once: Go's `Close`. Handlers in flight see the
   * signal of their request abort. May be called at any time and many times.
   *
   * @throws The error of closing a listener.
   */
  close(): Promise<void>;
  /** Shuts down without a deadline, and so waits for as long as the last request takes. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The listening socket of a server, if that did not open it for itself. */
export interface ServedListener {
  readonly handoff: "inherit" | "reuseport";
  /** To be called when the server has closed it. */
  closed(): void;
}

/** A {@linkcode Server} over a driver. `draining` is the one its handlers are told of. */
export class DrivenServer implements Server {
  readonly finished: Promise<void>;
  readonly #driver: Driver;
  readonly #drainStart: AbortController;
  readonly #listener: ServedListener | undefined;
  readonly #changes = new Changes();
  readonly #hooks: (() => unknown)[] = [];
  #finish: () => void;
  #state: "serving" | "draining" | "closed" = "serving";
  #listenersClosed: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  /** How many calls of shutdown are still waiting. */
  #waiting = 0;

  constructor(driver: Driver, drainStart: AbortController, listener?: ServedListener) {
    this.#driver = driver;
    this.#drainStart = drainStart;
    this.#listener = listener;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = resolve;
  }

  get addr(): Addr {
    return this.#driver.addr;
  }

  get url(): string {
    const { addr, secure, scheme = secure ? "https" : "http" } = this.#driver;
    if (addr.transport === "unix") return `${scheme}+unix://${encodeURIComponent(addr.path)}/`;
    const any = addr.hostname === "0.0.0.0" || addr.hostname === "::";
    const hostname = any ? "localhost" : addr.hostname;
    return `${scheme}://${hostname.includes(":") ? `[${hostname}]` : hostname}:${addr.port}/`;
  }

  get engine(): Engine {
    return this.#driver.engine;
  }

  get handoff(): "inherit" | "reuseport" | undefined {
    return this.#listener?.handoff;
  }

  get state(): "serving" | "draining" | "closed" {
    return this.#state;
  }

  get draining(): AbortSignal {
    return this.#drainStart.signal;
  }

  /**
   * Serves on, but has each HTTP/1 connection end with its next response: clients that keep theirs
   * move to where new connections are made.
   */
  startLameDuck(): void {
    if (this.#state === "serving") this.#driver.startLameDuck();
  }

  connections(): ConnInfo[] {
    return this.#closed !== undefined ? [] : this.#driver.connections(performance.now());
  }

  onShutdown(fn: () => unknown): void {
    if (typeof fn !== "function") {
      throw new TypeError(
        `Cannot register as 'fn' must be a function: current value is ${String(fn)}`,
      );
    }
    if (this.#state !== "serving") {
      throw new ServerClosedError(`Cannot register with onShutdown: the server is ${this.#state}`);
    }
    this.#hooks.push(fn);
  }

  async shutdown(options: ShutdownOptions = {}): Promise<ShutdownReport> {
    checkShutdown(options);
    const start = performance.now();
    if (this.#closed !== undefined) {
      await this.#closed;
      return this.#report("closed", start, 0);
    }
    const listenersClosed = this.#startDrain((options.idleGrace ?? 0) > 0);
    const { context, release } = deadline(options);
    this.#waiting++;
    const { drained, polls } = await drain(this.#driver, context, this.#changes, options);
    this.#waiting--;
    release();
    if (this.#closed !== undefined) {
      await this.#closed;
      return this.#report("closed", start, polls);
    }
    if (!drained) {
      const reason = options.signal?.aborted ? "aborted" : "timeout";
      throw new ShutdownIncompleteError(this.#report(reason, start, polls), context.reason);
    }
    this.#finished();
    await listenersClosed;
    return this.#report("drained", start, polls);
  }

  close(): Promise<void> {
    this.#closed ??= this.#closeAll();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /** Steps 1 to 3 of a shutdown, once: marks the server, closes the listeners, starts the hooks. */
  #startDrain(spareIdle: boolean): Promise<void> {
    if (this.#listenersClosed !== undefined) return this.#listenersClosed;
    this.#state = "draining";
    this.#driver.startDrain(() => this.#onChange());
    this.#drainStart.abort(new ServerClosedError("The server is draining"));
    this.#listenersClosed = this.#closeListeners(spareIdle);
    // Thrown by shutdown() after the drain, and by close(): until then nobody listens to it.
    this.#listenersClosed.catch(() => {});
    for (const hook of this.#hooks) startHook(hook);
    return this.#listenersClosed;
  }

  async #closeListeners(spareIdle: boolean): Promise<void> {
    try {
      await this.#driver.closeListeners(spareIdle);
    } finally {
      this.#listener?.closed();
    }
  }

  async #closeAll(): Promise<void> {
    const listenersClosed = this.#startDrain(false);
    await this.#driver.closeAll();
    this.#changes.announce();
    this.#finished();
    await listenersClosed;
  }

  /** Wakes who waits. When nobody does, all deadlines having passed, the drain still goes on. */
  #onChange(): void {
    this.#changes.announce();
    if (this.#waiting > 0 || this.#state === "closed") return;
    const policy = { spareIdle: false, ignoreHijacked: false };
    if (!this.#driver.closeIdle(performance.now(), policy)) this.#finished();
  }

  #finished(): void {
    this.#state = "closed";
    this.#finish();
  }

  #report(reason: ShutdownReport["reason"], start: number, polls: number): ShutdownReport {
    return {
      reason,
      duration: performance.now() - start,
      polls,
      ...this.#driver.tally,
      connections: this.connections(),
    };
  }
}

/** The context of one shutdown: the caller's signal and deadline in one. */
function deadline(
  { signal, timeout }: ShutdownOptions,
): { context: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  const timer = timeout === undefined ? undefined : setTimeout(
    () =>
      controller.abort(
        new DOMException(`The shutdown's deadline of ${timeout} ms has passed`, "TimeoutError"),
      ),
    timeout,
  );
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort);
  return {
    context: controller.signal,
    release: () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    },
  };
}

/** Runs in its own turn, so that neither a throw nor a long function holds up the drain. */
function startHook(hook: () => unknown): void {
  Promise.resolve().then(hook).catch(complain);
}
