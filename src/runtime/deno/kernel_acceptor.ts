/**
 * One server of Deno for all connections of a listener. Unlike Deno's own, it accepts again after a lack of
 * descriptors.
 */
import { reportError } from "../../core/report_error.ts";
import type { Refable } from "../../server/native_server.ts";
import { addrOf, type DenoHttpServer, type DenoInfo, type DenoListener } from "../api/deno.ts";
import type { AcceptQueue } from "../host/accept_queue.ts";
import type { AcceptedSockets } from "../linux/accepted_sockets.ts";
import type { KernelSockets } from "../linux/kernel_sockets.ts";
import { unfinishedHandshakes } from "../linux/unfinished_handshakes.ts";
import { AcceptErrors, FIRST_PAUSE, LONGEST_PAUSE } from "./accept_errors.ts";
import { type ConnectionServing, internals } from "./internals.ts";

/** The number of ms between two checks of whether open connections still have to keep the process alive. */
const HOLD_INTERVAL = 100;

/** The listener of a {@linkcode KernelAcceptor}, and how Deno serves on it. */
export interface KernelServing {
  readonly serving: ConnectionServing & Required<Pick<ConnectionServing, "serveHttpOnListener">>;
  readonly kernel: KernelSockets;
  readonly listener: DenoListener;
  /** The descriptor of the listener. */
  readonly fd: number;
  /** The sockets that the listener accepts. */
  readonly accepted: AcceptedSockets;
  /** Opens a listener at an address that nobody knows. */
  listenElsewhere(): DenoListener;
}

/** The functions that a {@linkcode KernelAcceptor} calls. They do not use `this`. */
export interface AcceptorHandlers {
  readonly onRequest: (request: Request, native: DenoInfo) => Response | Promise<Response>;
  readonly onError: (error: unknown) => Response | Promise<Response>;
}

/** Accepts the connections of one listener and serves HTTP on them, until the listener is closed. */
export class KernelAcceptor implements Refable {
  readonly accepted: AcceptedSockets;
  /** Whether Deno's own graceful stop was started. */
  isStopped = false;
  readonly #serving: KernelServing;
  readonly #handlers: AcceptorHandlers;
  readonly #servers: DenoHttpServer[] = [];
  /** The ids of Deno's resources behind the servers, -1 where the id is unknown. */
  readonly #resources: number[] = [];
  readonly #cookie: bigint;
  /** The descriptor of the listener that Deno accepts on. */
  #fd: number;
  /**
   * A second descriptor of the listener. When accepting has failed, Deno closes its own descriptor and stops
   * accepting.
   */
  readonly #spare: number;
  #restarting: ReturnType<typeof setTimeout> | undefined;
  readonly #errors = new AcceptErrors();
  #isClosed = false;
  #isRefed = true;
  /** The timer that keeps the process alive while connections are open and the listener no longer does so. */
  #holding: ReturnType<typeof setInterval> | undefined;
  #closeUnnoticed = (): boolean => false;
  #hasUnfinishedHandshakes = (): boolean => false;

  constructor(serving: KernelServing, handlers: AcceptorHandlers) {
    const { kernel, fd, listener, accepted } = serving;
    this.#serving = serving;
    this.#handlers = handlers;
    this.accepted = accepted;
    this.#fd = fd;
    this.#cookie = kernel.cookieOf(fd);
    this.#spare = kernel.duplicate(fd, 0);
    this.#serveOn(listener, FIRST_PAUSE);
  }

  /** Serves on a listener. `pause` is the time to wait before the next attempt, if this attempt fails at once. */
  #serveOn(listener: DenoListener, pause: number): void {
    const { core, serveHttpOnListener } = this.#serving.serving;
    const start = performance.now();
    const resource = internals.servingResource(core, () => {
      const server = serveHttpOnListener(
        listener,
        undefined,
        this.#handlers.onRequest,
        async (error) => await this.#handlers.onError(error),
        () => {},
      );
      this.#servers.push(server);
      if (!this.#isRefed) server.unref();
      server.finished.catch((error) => {
        const hasWorked = performance.now() - start > LONGEST_PAUSE;
        this.#acceptFailed(error, hasWorked ? FIRST_PAUSE : pause);
      });
    });
    this.#resources.push(resource);
  }

  #acceptFailed(error: unknown, pause: number): void {
    if (this.#isClosed) return;
    this.#errors.report(error, this.#handlers.onError);
    const next = Math.min(2 * pause, LONGEST_PAUSE);
    this.#restarting = setTimeout(() => {
      this.#restarting = undefined;
      try {
        this.#acceptAgain(next);
      } catch (error) {
        this.#acceptFailed(error, next);
      }
    }, pause);
  }

  /** Opens another listener of Deno, and puts the socket of the first one in its place. */
  #acceptAgain(pause: number): void {
    const { kernel } = this.#serving;
    const { made, fd } = kernel.opening(
      this.#serving.listenElsewhere,
      ({ addr }) => addrOf(addr),
      (listener) => listener.close(),
    );
    const spare = kernel.duplicate(this.#spare, 0);
    if (fd === undefined || spare < 0 || !kernel.replaceListener(spare, fd)) {
      made.close();
      if (spare >= 0) kernel.close(spare);
      throw new Error("Cannot accept again: no descriptor is left");
    }
    this.#fd = fd;
    this.#serveOn(made, pause);
  }

  /** Whether Deno still has the descriptor of the listener. */
  get #isOpen(): boolean {
    return !this.#isClosed && this.#serving.kernel.cookieOf(this.#fd) === this.#cookie;
  }

  /** The number of connections in the accept queue; undefined if the kernel does not report it. */
  get waiting(): number | undefined {
    if (this.#isClosed) return 0;
    return this.#serving.kernel.waitingToBeAccepted(this.#isOpen ? this.#fd : this.#spare);
  }

  /** The accept queue of the listener. */
  get queue(): AcceptQueue {
    return {
      waiting: () => this.waiting,
      // Few connections join the queue, so the queue shrinks by one for each connection that Deno accepts.
      accepted: () => -(this.waiting ?? 0),
      hasUnfinishedHandshakes: this.#hasUnfinishedHandshakes,
    };
  }

  /**
   * Prepares to close the listener. From now on the kernel refuses or ignores new handshakes: a connection that came
   * between the last look at the accept queue and the close would be reset.
   */
  startDrain(): void {
    const { kernel } = this.#serving;
    kernel.turnAwayHandshakes(this.#spare);
    this.#hasUnfinishedHandshakes = unfinishedHandshakes(kernel, this.#spare);
    this.#closeUnnoticed = kernel.closingUnnoticed(this.#fd);
  }

  /** Closes only the listener, and leaves the connections open, which Deno itself cannot do. Deno does not notice. */
  closeListener(): void {
    if (this.#isClosed) return;
    const { kernel } = this.#serving;
    const isOpen = this.#isOpen;
    this.#isClosed = true;
    clearTimeout(this.#restarting);
    // If no descriptor is left to replace the listener with, Deno notices the end of the listener, and keeps
    // serving its connections.
    if (isOpen && !this.#closeUnnoticed()) kernel.shutdown(this.#fd);
    kernel.close(this.#spare);
  }

  ref(): void {
    this.#isRefed = true;
    clearInterval(this.#holding);
    for (const server of this.#servers) server.ref();
  }

  unref(): void {
    this.#isRefed = false;
    for (const server of this.#servers) server.unref();
    clearInterval(this.#holding);
    this.#holding = setInterval(() => this.#hold(), HOLD_INTERVAL);
    this.#hold();
  }

  #hold(): void {
    if (this.accepted.all().length > 0) this.#holding?.ref();
    else this.#holding?.unref();
  }

  /**
   * Starts Deno's own graceful stop. It sends GOAWAY to the HTTP/2 sessions and ends them, and closes every other
   * connection without a request.
   */
  stop(): void {
    if (this.isStopped) return;
    this.isStopped = true;
    for (const server of this.#servers) server.shutdown().catch(reportError);
  }

  /** Releases the resources that Deno holds for the server. Ends the requests in flight. */
  release(): void {
    this.closeListener();
    clearInterval(this.#holding);
    for (const resource of this.#resources) this.#serving.serving.core.tryClose(resource);
    if (this.#resources.includes(-1)) this.stop();
  }
}
