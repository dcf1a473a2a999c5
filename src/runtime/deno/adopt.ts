/** Existing servers of `Deno.serve`. */
import { attempt } from "../../core/attempt.ts";
import { reportError } from "../../core/report_error.ts";
import type { ConnInfo } from "../../core/conn.ts";
import type { Addr } from "../../core/addr.ts";
import type { Tally } from "../../server/conn_table.ts";
import { type ClosingQueue, closingQueue, takeInServeQueue } from "./accept_queue.ts";
import { addrOf } from "../api/deno.ts";
import type { Driver } from "../../server/driver.ts";
import type { Engine } from "../../options/serve.ts";
import { FORCE_WAIT, within } from "../../core/within.ts";

/** A server of `Deno.serve`, which is what `Deno.HttpServer` describes. */
export interface DenoNativeServer {
  /** The address of the listener. */
  readonly addr: object;
  /** Settles when the server is closed. */
  readonly finished: Promise<void>;
  /** Stops accepting, and resolves when the last connection is closed. */
  shutdown(): Promise<void>;
}

/** Whether a value looks like a {@linkcode DenoNativeServer}. */
export function isDenoServer(value: unknown): value is DenoNativeServer {
  return typeof value === "object" && value !== null && "shutdown" in value &&
    "finished" in value && "addr" in value && "ref" in value;
}

/**
 * Drives what shows neither its connections nor its requests: `shutdown()` of Deno itself decides what
 * becomes of them.
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

  startDrain(onChange: () => void): void {
    this.#onChange = onChange;
  }

  /** The requests of the server are out of reach: they are given some turns of the event loop to begin. */
  waitingToBeAccepted(): number | undefined {
    this.#queue = closingQueue(this.addr, () => 0);
    return this.#queue.waiting() || undefined;
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.#queue === undefined ? Promise.resolve() : takeInServeQueue(this.#queue, force);
  }

  closeListeners(): void {
    attempt(() => this.#queue?.close?.());
    this.#stopped ??= this.#server.shutdown().catch(reportError);
  }

  closeIdleConns(): boolean {
    return this.#gone;
  }

  /** Waits for the server's own shutdown: Deno ends nothing by force but by the signal of its owner. */
  async closeAll(): Promise<void> {
    this.closeListeners();
    if (this.#stopped !== undefined) await within(this.#stopped, FORCE_WAIT);
    if (this.#gone) return;
    throw new Error(
      "Cannot close as a server of Deno.serve has no way to end the requests in flight: end them in " +
        "their handlers, or use serve() of this package",
    );
  }

  connections(): ConnInfo[] {
    return [];
  }
}
