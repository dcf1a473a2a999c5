import { setImmediate } from "node:timers";
import { attempt } from "../core/attempt.ts";
import { reportError } from "../core/report_error.ts";
import type { ConnInfo } from "../core/conn.ts";
import { type Addr, isUnspecified } from "../core/addr.ts";
import type { PollPolicy } from "./conn_table.ts";
import { DrainNotice } from "../core/drain_notice.ts";
import { checkPromise } from "../options/checks.ts";
import type { Driver } from "./driver.ts";
import type { NativeServers } from "./native_server.ts";
import type { ServedCertificates } from "./served_certificates.ts";
import type { Engine } from "../options/serve.ts";
import { closingHandshake } from "../options/hijacked.ts";
import { type CertificateOptions, checkSetCertificate } from "../options/tls.ts";
import { checkShutdown, type ShutdownOptions } from "../options/shutdown.ts";
import type { ShutdownReport } from "../core/report.ts";
import { ServerClosedError, ShutdownIncompleteError, UpgradeError } from "../core/errors.ts";
import { PendingWork } from "../core/pending_work.ts";
import type { RequestScope } from "../core/request_scope.ts";
import { Changes, drain } from "./drain.ts";
import { Farewell } from "./farewell.ts";
import type { Server } from "./server.ts";
import type { ShutdownPublisher } from "./shutdown_channels.ts";
import { settledOrAborted, shutdownContext } from "./shutdown_context.ts";

/** The listening socket of a server that has not opened the socket itself. */
export interface ServedListener {
  readonly handoff: "inherit" | "reuseport";
  /** Whether a successor accepts the connections that wait in the accept queue. */
  readonly isTakenOver: boolean;
  /** Whether another process accepts on the socket too, or may do so. */
  readonly isShared: boolean;
  /** Records that the server has closed the socket. Called by the server. */
  closed(): void;
}

/** What a {@linkcode DrivenServer} shares with other parts of the package. */
interface DrivenServerContext {
  /** The scope that the driver gives to its requests. */
  readonly scope?: RequestScope;
  /** The listening socket, if the server did not open it itself. */
  readonly listener?: ServedListener | undefined;
  /**
   * Returns whether another process accepts on the socket at an address too; undefined if that is not known. Without it
   * `listener` tells.
   */
  readonly isShared?: (addr: Addr) => boolean | undefined;
  /** The publisher of the calls of `shutdown`. Without a publisher, no call is published. */
  readonly channels?: ShutdownPublisher;
}

/** A {@linkcode Server} that works through a driver. */
export class DrivenServer implements Server {
  readonly finished: Promise<void>;
  readonly #driver: Driver;
  readonly #drainNotice: DrainNotice;
  readonly #pendingWork: PendingWork;
  /** The controller that aborts when the listeners must close at once. */
  readonly #force = new AbortController();
  readonly #listener: ServedListener | undefined;
  readonly #isShared: (addr: Addr) => boolean | undefined;
  readonly #channels: ShutdownPublisher | undefined;
  readonly #changes = new Changes();
  readonly #hooks: (() => unknown)[] = [];
  readonly #farewell = new Farewell(
    () => this.#closeWebSockets(),
    () => this.#onChange(),
  );
  /** The options of the call that has started the drain. */
  #drainOptions: ShutdownOptions = {};
  #isRestart = false;
  #finish: () => void;
  #state: "serving" | "draining" | "closed" = "serving";
  #listenersClosed: Promise<void> | undefined;
  #isListening = true;
  #closed: Promise<void> | undefined;
  /** Whether the drain continues without a call of `shutdown` that waits for it. */
  #isDrainingOn = false;
  /** Whether the changes of this turn of the event loop will be announced at its end. */
  #isChangeDue = false;

  constructor(
    driver: Driver,
    { scope, listener, channels, isShared = () => listener?.isShared }: DrivenServerContext = {},
  ) {
    this.#driver = driver;
    this.#drainNotice = scope?.drainNotice ?? new DrainNotice();
    this.#pendingWork = scope?.pendingWork ?? new PendingWork();
    this.#listener = listener;
    this.#isShared = isShared;
    this.#channels = channels;
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

  get native(): NativeServers[Engine] {
    // The cast: the driver of an engine has the server of that engine.
    return this.#driver.native as NativeServers[Engine];
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
   * Keeps serving, but ends each HTTP/1 connection with its next response. Clients that keep their
   * connections open then reconnect to wherever new connections go.
   */
  startLameDuck(): void {
    if (this.#state === "serving") this.#driver.startLameDuck?.();
  }

  /** Sets the default close code of WebSockets to "service restart". To be called before the drain. */
  expectRestart(): void {
    this.#isRestart = true;
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

  /** Returns the server's address, or an empty one: an adopted server may not have listened yet. */
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

  async setCertificate(certificate: CertificateOptions): Promise<void> {
    const as = (name: string) => `set the certificate as '${name}'`;
    this.#servedCertificates();
    checkSetCertificate(certificate);
    const { readCertificates } = await import("../options/certificate.ts");
    // A drain may have started meanwhile.
    const served = this.#servedCertificates();
    try {
      served.replace(readCertificates(as, certificate, served.current));
    } catch (error) {
      if (!(error instanceof UpgradeError)) throw error;
      throw new UpgradeError(
        `Cannot set the certificate with the engine "${this.engine}", unlike with "node": ${error.message}`,
        { cause: error },
      );
    }
  }

  #servedCertificates(): ServedCertificates {
    const { certificates, scheme } = this.#driver;
    if (certificates === undefined) {
      throw new TypeError(
        scheme === "https" || scheme === "tls"
          ? "Cannot set the certificate: the server was adopted, and its owner has set TLS up"
          : "Cannot set the certificate: the server has no TLS",
      );
    }
    if (this.#state === "serving") return certificates;
    throw new ServerClosedError(`Cannot set the certificate: the server is ${this.#state}`);
  }

  async shutdown(options: ShutdownOptions = {}): Promise<ShutdownReport> {
    checkShutdown(options);
    const start = performance.now();
    this.#channels?.publish("graceful.shutdown.start", () => ({
      addr: this.#addrIfKnown(),
      connections: this.connections(),
    }));
    try {
      const report = await this.#shutdown(options, start);
      this.#publishEnd(start, report, undefined);
      return report;
    } catch (error) {
      const report = error instanceof ShutdownIncompleteError ? error.report : undefined;
      this.#publishEnd(start, report, error);
      throw error;
    }
  }

  #publishEnd(start: number, report: ShutdownReport | undefined, error: unknown): void {
    this.#channels?.publish("graceful.shutdown.end", () => ({
      addr: this.#addrIfKnown(),
      duration: performance.now() - start,
      report,
      error,
    }));
  }

  async #shutdown(options: ShutdownOptions, start: number): Promise<ShutdownReport> {
    if (this.#closed !== undefined) {
      await this.#closed;
      return this.#report("closed", start, 0);
    }
    const listenersClosed = this.#startDrain(options);
    const { context, release } = shutdownContext(options);
    await settledOrAborted(listenersClosed, context);
    const { drained, polls } = await drain(this, context, this.#changes, options);
    release();
    if (this.#closed !== undefined) {
      await this.#closed;
      return this.#report("closed", start, polls);
    }
    if (!drained) {
      const reason = options.signal?.aborted ? "aborted" : "timeout";
      const report = this.#report(reason, start, polls);
      this.#drainOn();
      throw new ShutdownIncompleteError(report, context.reason);
    }
    this.#finished();
    await listenersClosed;
    return this.#report("drained", start, polls);
  }

  close(): Promise<void> {
    this.#closed ??= this.#closeAll();
    return this.#closed;
  }

  ref(): void {
    if (!this.#isListening) return;
    for (const handle of this.#driver.handles) handle.ref();
  }

  unref(): void {
    if (!this.#isListening) return;
    for (const handle of this.#driver.handles) handle.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /**
   * Runs the first steps of a shutdown, only once: marks the server as draining, notifies the handlers
   * and starts to close the listeners. If a step fails, the error is reported and the listeners still
   * close.
   */
  #startDrain(options: ShutdownOptions): Promise<void> {
    if (this.#listenersClosed !== undefined) return this.#listenersClosed;
    this.#state = "draining";
    this.#drainOptions = options;
    const onChange = () => this.#onChange();
    attempt(() => this.#driver.startDrain(onChange, this.#isShared(this.#addrIfKnown())));
    this.#pendingWork.startDrain(onChange);
    this.#drainNotice.start(new ServerClosedError("The server is draining"));
    this.#listenersClosed = this.#endAccepting((options.idleGrace ?? 0) > 0);
    // shutdown() and close() throw this error later. Until then, the rejection would be unhandled.
    this.#listenersClosed.catch(() => {});
    return this.#listenersClosed;
  }

  /**
   * Takes in the connections that wait in the accept queue, and closes the listeners. Clients are told
   * that their connections end only when the queue is empty: a client that was told earlier would
   * reconnect to a listener that is about to close. Clients are told at once if new connections are refused already,
   * or if the length of the queue is unknown: then the queue is most likely empty.
   */
  async #endAccepting(spareIdle: boolean): Promise<void> {
    const isLeft = this.#force.signal.aborted || this.#listener?.isTakenOver === true;
    const waiting = isLeft ? 0 : this.#waitingToBeAccepted();
    const endsFirst = waiting === undefined || this.#driver.refusesNewConns === true;
    if (endsFirst) attempt(() => this.#driver.endConnections?.());
    if (waiting !== 0) await this.#emptyAcceptQueue();
    const closed = this.#closeListeners(spareIdle);
    if (!endsFirst) attempt(() => this.#driver.endConnections?.());
    const lastWords = [...this.#hooks.map(startHook), this.#drainNotice.settled()];
    this.#farewell.sayAfter(Promise.all(lastWords), this.finished, this.#drainOptions.timeout);
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

  #closeWebSockets(): void {
    this.#driver.closeWebSockets?.(
      closingHandshake(this.#drainOptions.hijacked, this.#isRestart),
    );
  }

  #waitingToBeAccepted(): number | undefined {
    try {
      return this.#driver.waitingToBeAccepted();
    } catch (error) {
      reportError(error);
      return undefined;
    }
  }

  /** Empties the accept queue. An error is only reported, because the listeners must close anyway. */
  async #emptyAcceptQueue(): Promise<void> {
    try {
      await this.#driver.emptyAcceptQueue(this.#force.signal);
    } catch (error) {
      reportError(error);
    }
  }

  /** Closes the listeners. An error that the driver throws becomes a rejection. */
  async #closeListeners(spareIdle: boolean): Promise<void> {
    await this.#driver.closeListeners(spareIdle);
  }

  async #closeAll(): Promise<void> {
    this.#force.abort();
    const listenersClosed = this.#startDrain({});
    this.#farewell.say();
    await this.#driver.closeAll();
    this.#pendingWork.abandon();
    this.#changes.announce();
    this.#finished();
    await listenersClosed;
  }

  /** Wakes the drain at the end of this turn of the event loop, once for all changes of the turn. */
  #onChange(): void {
    if (this.#isChangeDue) return;
    this.#isChangeDue = true;
    setImmediate(() => {
      this.#isChangeDue = false;
      this.#changes.announce();
    });
  }

  /** Continues the drain after the deadline of a call of `shutdown`, for as long as the process lives. */
  async #drainOn(): Promise<void> {
    if (this.#isDrainingOn) return;
    this.#isDrainingOn = true;
    const { signal: never } = new AbortController();
    await drain(this, never, this.#changes, {}, () => performance.now(), false);
    this.#finished();
  }

  /** Closes the connections that are idle at `now`. Returns whether no connection is left to wait for. */
  closeIdleConns(now: number, policy: PollPolicy): boolean {
    if (this.#state === "closed") return true;
    if (this.#isListening) return false;
    // WebSockets that nobody waits for are cut off after the drain. Their close frame must be sent
    // before that.
    const ignoreHijacked = policy.ignoreHijacked && this.#farewell.isDone;
    const isQuiescent = this.#driver.closeIdleConns(now, { ...policy, ignoreHijacked });
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

/**
 * Starts a hook in a turn of its own, so that an error or a long-running hook does not delay the drain.
 * Resolves when the hook has settled. Never rejects.
 */
function startHook(hook: () => unknown): Promise<unknown> {
  return Promise.resolve().then(hook).catch(reportError);
}
