/** The adoption of existing servers of `Deno.serve`. */
import type { Refable } from "../../server/native_server.ts";
import { attempt } from "../../core/attempt.ts";
import { reportError } from "../../core/report_error.ts";
import type { ConnInfo } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import type { Tally } from "../../server/conn_table.ts";
import { type ClosingQueue, closingQueue, takeInServeQueue } from "./accept_queue.ts";
import { internals } from "./internals.ts";
import { addrOf } from "../api/deno.ts";
import type { Driver } from "../../server/driver.ts";
import type { Engine } from "../../options/serve.ts";
import { FORCE_WAIT, within } from "../../core/within.ts";

/** A server that `Deno.serve` has returned: the part of `Deno.HttpServer` that this package uses. */
export interface DenoNativeServer {
  /** The address of the listener. */
  readonly addr: object;
  /** A promise that settles when the server has closed. */
  readonly finished: Promise<void>;
  /** Stops accepting connections, and resolves when the last connection has closed. */
  shutdown(): Promise<void>;
  /** Makes the server keep the process alive. */
  ref(): void;
  /** Lets the process end while the server listens. */
  unref(): void;
}

/** Returns whether a value looks like a {@linkcode DenoNativeServer}. */
export function isDenoServer(value: unknown): value is DenoNativeServer {
  return typeof value === "object" && value !== null && "shutdown" in value &&
    "finished" in value && "addr" in value && "ref" in value;
}

/**
 * The driver of an adopted server of `Deno.serve`. The server exposes neither its connections nor its
 * requests, so Deno's own `shutdown()` decides how they end.
 */
export class AdoptedDenoDriver implements Driver {
  readonly engine: Engine = "deno-serve";
  readonly scheme = "http";
  readonly addr: Addr;
  readonly tally: Tally = { idle: 0, drained: 0, forced: 0 };
  readonly #server: DenoNativeServer;
  #onChange = (): void => {};
  #stopped: Promise<void> | undefined;
  #gone = false;
  #queue: ClosingQueue | undefined;

  constructor(server: DenoNativeServer) {
    this.#server = server;
    this.addr = addrOf(server.addr);
    const end = () => {
      this.#gone = true;
      this.#onChange();
    };
    server.finished.then(end, end);
  }

  get native(): unknown {
    return this.#server;
  }

  get handles(): readonly Refable[] {
    return [this.#server];
  }

  startDrain(onChange: () => void): void {
    this.#onChange = onChange;
  }

  /**
   * Returns undefined instead of 0, so that the caller empties the accept queue in any case: requests on
   * connections that were just accepted need some turns of the event loop to start, and this driver
   * cannot see them.
   */
  waitingToBeAccepted(): number | undefined {
    this.#queue = closingQueue(this.addr, () => 0);
    return this.#queue.waiting() || undefined;
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.#queue === undefined ? Promise.resolve() : takeInServeQueue(this.#queue, force);
  }

  closeListeners(): void {
    attempt(() => this.#queue?.close?.());
    // Deno's own stop ends WebSockets at once, but the application may still have to send its last
    // messages.
    if (!internals.hasWebSockets()) this.#stop();
  }

  /** Makes Deno end the WebSockets, with Deno's own code 1001, because the server does not show its WebSockets. */
  closeWebSockets(): void {
    this.#stop();
  }

  #stop(): void {
    this.#stopped ??= this.#server.shutdown().catch(reportError);
  }

  closeIdleConns(): boolean {
    return this.#gone;
  }

  /**
   * Waits for the server's own shutdown. Only the `signal` that the server's owner passed to `Deno.serve`
   * can end connections by force.
   */
  async closeAll(): Promise<void> {
    this.closeListeners();
    this.#stop();
    if (this.#stopped !== undefined) await within(this.#stopped, FORCE_WAIT);
    if (this.#gone) return;
    throw new Error(
      "Cannot close by force: a server of Deno.serve has no way to end the requests in flight. End them " +
        "in their handlers, or use serve() of this package",
    );
  }

  connections(): ConnInfo[] {
    return [];
  }
}
