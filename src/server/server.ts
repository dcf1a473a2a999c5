import { attempt } from "../core/attempt.ts";
import { reportError } from "../core/report_error.ts";
import type { ConnInfo } from "../core/conn.ts";
import { type Addr, isUnspecified } from "../core/addr.ts";
import type { PollPolicy } from "./conn_table.ts";
import { DrainNotice } from "../core/drain_notice.ts";
import { checkPromise } from "../options/checks.ts";
import type { Driver } from "./driver.ts";
import type { Engine } from "../options/serve.ts";
import { checkShutdown, type ShutdownOptions } from "../options/shutdown.ts";
import type { ShutdownReport } from "../core/report.ts";
import { ServerClosedError, ShutdownIncompleteError } from "../core/errors.ts";
import { PendingWork } from "../core/pending_work.ts";
import type { RequestScope } from "../core/request_scope.ts";
import { Changes, drain } from "./drain.ts";

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
  /** The address of the listener. */
  readonly addr: Addr;
  /**
   * A URL that reaches it from this machine. For a unix socket, `http+unix:` and its path. Of a server
   * of `serveTcp`, `tcp:` and `tcp+unix:`.
   */
  readonly url: string;
  /** The engine that runs the server's HTTP; `"node"` for `serveTcp`, which runs on `node:net`. */
  readonly engine: Engine;
  /** How a successor gets the listener; undefined if the listener cannot be handed on. */
  readonly handoff: "inherit" | "reuseport" | undefined;
  /** The state: `"serving"`, then `"draining"` once and for good, then `"closed"`. */
  readonly state: "serving" | "draining" | "closed";
  /**
   * Aborts when the drain starts, or when the server is closed without one. A listener that throws is
   * reported on the console and stops nothing.
   */
  readonly draining: AbortSignal;
  /** Resolves when the server is closed: after a complete drain, or after `close()`. Never rejects. */
  readonly finished: Promise<void>;
  /** The open connections, for logs and reports. */
  connections(): ConnInfo[];
  /**
   * Registers a function to call when a shutdown starts and the listeners are closed, as Go's
   * `RegisterOnShutdown` does: to end long-lived connections, say. The function is started, not waited
   * for. What it throws is reported on the console and stops nothing.
   *
   * @throws {ServerClosedError} If the drain has already started.
   */
  onShutdown(fn: () => unknown): void;
  /**
   * Has a shutdown wait for work that goes on behind a response, until the promise settles: for the
   * handlers of an adopted server, whose connections can end before their work does. The handlers of
   * `serve` have `info.waitUntil`. The work is listed in `connections()` and in reports as active, with
   * the server's own address. A rejection is reported on the console. `close()` does not wait for it.
   *
   * @throws {TypeError} If `promise` is no promise.
   */
  waitUntil(promise: PromiseLike<unknown>): void;
  /**
   * Closes the listeners, then the idle connections, and waits for the others to become idle:
   * Go's `Shutdown`. May be called many times and at once: all calls join the one drain, each with
   * its own deadline. After `close()` it resolves.
   *
   * Before a listener closes, the connections that the kernel has accepted are taken in, for at most
   * about a second. A shutdown does not close what is active, and does not wait for what handlers do
   * after their response, unless they say so with `waitUntil`.
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
  /** Shuts down without a deadline: waits for as long as the last request takes. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The listening socket of a server, if that did not open it for itself. */
export interface ServedListener {
  readonly handoff: "inherit" | "reuseport";
  /** Whether a successor accepts what waits in the accept queue. */
  readonly isTakenOver: boolean;
  /** To be called when the server has closed it. */
  closed(): void;
}

/** A {@linkcode Server} over a driver. */
export class DrivenServer implements Server {
  readonly finished: Promise<void>;
  readonly #driver: Driver;
  readonly #drainNotice: DrainNotice;
  readonly #pendingWork: PendingWork;
  /** Aborts when the listeners are to close at once. */
  readonly #force = new AbortController();
  readonly #listener: ServedListener | undefined;
  readonly #changes = new Changes();
  readonly #hooks: (() => unknown)[] = [];
  #finish: () => void;
  #state: "serving" | "draining" | "closed" = "serving";
  #listenersClosed: Promise<void> | undefined;
  #isListening = true;
  #closed: Promise<void> | undefined;
  /** The number of calls of `shutdown` that still wait. */
  #waiting = 0;

  /** `scope` is what the driver tells the requests of this server. */
  constructor(
    driver: Driver,
    scope: RequestScope = { drainNotice: new DrainNotice(), pendingWork: new PendingWork() },
    listener?: ServedListener,
  ) {
    this.#driver = driver;
    this.#drainNotice = scope.drainNotice;
    this.#pendingWork = scope.pendingWork;
    this.#listener = listener;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = resolve;
  }

  get addr(): Addr {
    return this.#driver.addr;
  }

  get url(): string {
    const { addr, scheme } = this.#driver;
    if (addr.transport === "unix") return `${scheme}+unix://${encodeURIComponent(addr.path)}/`;
    const hostname = isUnspecified(addr.hostname) ? "localhost" : addr.hostname;
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
    return this.#drainNotice.signal;
  }

  /**
   * Serves on, but has each HTTP/1 connection end with its next response: clients that keep theirs
   * move to where new connections are made.
   */
  startLameDuck(): void {
    if (this.#state === "serving") this.#driver.startLameDuck?.();
  }

  connections(): ConnInfo[] {
    if (this.#closed !== undefined) return [];
    const now = performance.now();
    return [...this.#driver.connections(now), ...this.#pendingWork.snapshot(now)];
  }

  waitUntil(promise: PromiseLike<unknown>): void {
    checkPromise("wait as 'promise'", promise);
    this.#pendingWork.add(promise, { remoteAddr: this.#addrIfKnown(), request: undefined });
  }

  /** An adopted server may have listened nowhere yet. */
  #addrIfKnown(): Addr {
    try {
      return this.addr;
    } catch {
      return { transport: "unix", path: "" };
    }
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
    await settledOrAborted(listenersClosed, context);
    const { drained, polls } = await drain(this, context, this.#changes, options);
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

  /**
   * The first steps of a shutdown, once: marks the server as draining, tells handlers, starts to close
   * the listeners. What fails on the way is reported, and the listeners close all the same.
   */
  #startDrain(spareIdle: boolean): Promise<void> {
    if (this.#listenersClosed !== undefined) return this.#listenersClosed;
    this.#state = "draining";
    const onChange = () => this.#onChange();
    attempt(() => this.#driver.startDrain(onChange));
    this.#pendingWork.startDrain(onChange);
    this.#drainNotice.start(new ServerClosedError("The server is draining"));
    this.#listenersClosed = this.#endAccepting(spareIdle);
    // Thrown by shutdown() after the drain, and by close(): until then nobody listens to it.
    this.#listenersClosed.catch(() => {});
    return this.#listenersClosed;
  }

  /**
   * Takes in what waits to be accepted, and closes the listeners. Clients are told that their connections
   * end when nothing waits any more: told before, they would come back to a listener that is about to
   * close. Where nobody knows whether something waits, most likely nothing does.
   */
  async #endAccepting(spareIdle: boolean): Promise<void> {
    const isLeft = this.#force.signal.aborted || this.#listener?.isTakenOver === true;
    const waiting = isLeft ? 0 : this.#waitingToBeAccepted();
    if (waiting === undefined) attempt(() => this.#driver.endConnections?.());
    if (waiting !== 0) await this.#emptyAcceptQueue();
    const closed = this.#closeListeners(spareIdle);
    if (waiting !== undefined) attempt(() => this.#driver.endConnections?.());
    for (const hook of this.#hooks) startHook(hook);
    try {
      await closed;
    } finally {
      this.#isListening = false;
      try {
        this.#listener?.closed();
      } finally {
        this.#onChange();
      }
    }
  }

  #waitingToBeAccepted(): number | undefined {
    try {
      return this.#driver.waitingToBeAccepted();
    } catch (error) {
      reportError(error);
      return undefined;
    }
  }

  /** Empties the accept queue. The listeners have to close even if that fails. */
  async #emptyAcceptQueue(): Promise<void> {
    try {
      await this.#driver.emptyAcceptQueue(this.#force.signal);
    } catch (error) {
      reportError(error);
    }
  }

  /** Closes the listeners. What the driver throws becomes a rejection. */
  async #closeListeners(spareIdle: boolean): Promise<void> {
    await this.#driver.closeListeners(spareIdle);
  }

  async #closeAll(): Promise<void> {
    this.#force.abort();
    const listenersClosed = this.#startDrain(false);
    await this.#driver.closeAll();
    this.#pendingWork.abandon();
    this.#changes.announce();
    this.#finished();
    await listenersClosed;
  }

  /** Wakes the calls that wait. When none does, all deadlines having passed, the drain still goes on. */
  #onChange(): void {
    this.#changes.announce();
    if (this.#waiting > 0 || this.#state === "closed") return;
    const policy = { spareIdle: false, ignoreHijacked: false };
    if (this.closeIdleConns(performance.now(), policy)) this.#finished();
  }

  /** Closes the connections that are idle at `now`, and reports whether nothing is left to wait for. */
  closeIdleConns(now: number, policy: PollPolicy): boolean {
    if (this.#isListening) return false;
    const isQuiescent = this.#driver.closeIdleConns(now, policy);
    return isQuiescent && this.#pendingWork.isEmpty;
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

/**
 * How long past its deadline a shutdown still waits for the listeners to close, in ms. Closing them is
 * synchronous in Go, so that there a deadline of 0 is enough to close a server without connections.
 */
const LISTENER_GRACE = 100;

/** Resolves when the promise has settled, or some time after the context is done. Never rejects. */
async function settledOrAborted(promise: Promise<void>, context: AbortSignal): Promise<void> {
  const { promise: isLate, resolve } = Promise.withResolvers<void>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onAbort = () => timer ??= setTimeout(resolve, LISTENER_GRACE);
  if (context.aborted) onAbort();
  context.addEventListener("abort", onAbort);
  await Promise.race([promise.catch(() => {}), isLate]);
  clearTimeout(timer);
  context.removeEventListener("abort", onAbort);
}

/** Starts a hook in a turn of its own, so that neither a throw nor a long function holds up the drain. */
function startHook(hook: () => unknown): void {
  Promise.resolve().then(hook).catch(reportError);
}
