/** One server of Deno for all connections of a listener, which accepts again when it was out of descriptors. */
import { reportError } from "../../core/report_error.ts";
import { addrOf, type DenoHttpServer, type DenoInfo, type DenoListener } from "../api/deno.ts";
import type { KernelSockets } from "../linux/kernel_sockets.ts";
import { ServerSockets } from "../linux/server_sockets.ts";
import { type ConnectionServing, internals } from "./internals.ts";

/** The first and the longest pause in ms before accepting again, and the least time between two reports. */
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 1_000;
const REPORT_INTERVAL = 10_000;

/** The listener of a {@linkcode KernelAcceptor}, and how Deno serves on it. */
export interface KernelServing {
  readonly serving: ConnectionServing & Required<Pick<ConnectionServing, "serveHttpOnListener">>;
  readonly kernel: KernelSockets;
  readonly listener: DenoListener;
  /** The descriptor of the listener. */
  readonly fd: number;
  /** The cookies of the connections that existed at the address before the listener did. */
  readonly strangers: ReadonlySet<bigint>;
  /** Opens a listener at an address that nobody knows. */
  listenElsewhere(): DenoListener;
}

/** The functions that a {@linkcode KernelAcceptor} calls. */
export interface AcceptorHandlers {
  onRequest(request: Request, native: DenoInfo): Response | Promise<Response>;
  onError(error: unknown): Response | Promise<Response>;
}

/** Accepts the connections of one listener and serves HTTP on them, until the listener is closed. */
export class KernelAcceptor {
  readonly #serving: KernelServing;
  readonly #handlers: AcceptorHandlers;
  readonly #servers: DenoHttpServer[] = [];
  /** The ids of Deno's resources behind the servers, -1 where the id is unknown. */
  readonly #resources: number[] = [];
  /**
   * Another descriptor of the listener. Deno closes its own, and accepts nothing more, when it is out of
   * descriptors.
   */
  readonly #spare: number;
  #sockets: ServerSockets;
  #restarting: ReturnType<typeof setTimeout> | undefined;
  #reportedAt = -Infinity;
  #isClosed = false;
  #isStopped = false;

  constructor(serving: KernelServing, handlers: AcceptorHandlers) {
    this.#serving = serving;
    this.#handlers = handlers;
    this.#sockets = this.#socketsOf(serving.fd);
    this.#spare = serving.kernel.duplicate(serving.fd, 0);
    this.#serveOn(serving.listener, FIRST_PAUSE);
  }

  /** The sockets of the server, with the listener that accepts now. */
  get sockets(): ServerSockets {
    return this.#sockets;
  }

  /** Serves on a listener. `pause` is the time to wait before the next try if that fails at once. */
  #serveOn(listener: DenoListener, pause: number): void {
    const { core, serveHttpOnListener } = this.#serving.serving;
    const start = performance.now();
    const resource = internals.servingResource(core, () => {
      const server = serveHttpOnListener(
        listener,
        undefined,
        (request, native) => this.#handlers.onRequest(request, native),
        async (error) => await this.#handlers.onError(error),
        () => {},
      );
      this.#servers.push(server);
      server.finished.catch((error) => {
        const hasWorked = performance.now() - start > LONGEST_PAUSE;
        this.#acceptFailed(error, hasWorked ? FIRST_PAUSE : pause);
      });
    });
    this.#resources.push(resource);
  }

  #acceptFailed(error: unknown, pause: number): void {
    if (this.#isClosed) return;
    this.#report(error);
    const next = Math.min(2 * pause, LONGEST_PAUSE);
    this.#restarting = setTimeout(() => {
      try {
        this.#acceptAgain(next);
      } catch (error) {
        this.#acceptFailed(error, next);
      }
    }, pause);
  }

  #report(error: unknown): void {
    if (performance.now() - this.#reportedAt < REPORT_INTERVAL) return;
    this.#reportedAt = performance.now();
    // To format the stack Deno opens files, and it panics without a descriptor for them.
    if (error instanceof Error) error.stack = `${error.name}: ${error.message}`;
    void this.#handlers.onError(error);
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
    this.#sockets = this.#socketsOf(fd);
    this.#serveOn(made, pause);
  }

  #socketsOf(fd: number): ServerSockets {
    const { kernel, strangers } = this.#serving;
    return new ServerSockets(kernel, new Map([[kernel.cookieOf(fd), fd]]), strangers);
  }

  /** Records that the listener is closed, so that nothing is accepted again. */
  listenerClosed(): void {
    this.#isClosed = true;
    clearTimeout(this.#restarting);
    this.#serving.kernel.close(this.#spare);
  }

  /**
   * Starts Deno's own graceful stop, unless that was done before. It sends GOAWAY to the sessions of HTTP/2, and
   * closes every connection without a request.
   */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    for (const server of this.#servers) server.shutdown().catch(reportError);
  }

  /** Releases what Deno keeps of the server. Ends the requests in flight. */
  release(): void {
    for (const resource of this.#resources) this.#serving.serving.core.tryClose(resource);
    if (this.#resources.includes(-1)) this.stop();
  }
}
