/**
 * The Deno engine: an accept loop, and Deno's own HTTP on each connection. That way each one is
 * known and can be closed by itself, which `Deno.serve` does not offer.
 */
import { rmSync } from "node:fs";
import { attempt } from "../attempt.ts";
import type { Addr, PollPolicy } from "../conn.ts";
import type { Handler, ServeSettings } from "../options.ts";
import { type AcceptQueue, takeInAcceptQueue } from "./accept_queue.ts";
import { closingQueue } from "./deno_accept_queue.ts";
import { Acceptor } from "./deno_acceptor.ts";
import { DenoConnection, type Hosting } from "./deno_conn.ts";
import { listenOptions } from "./deno_listen.ts";
import { addrOf, connectionServing, deno, type DenoConn, type DenoListener } from "./deno_types.ts";
import type { Driver, Engine } from "./driver.ts";
import { listenError } from "./listen_error.ts";
import { StandIn } from "./stand_in.ts";
import { TableDriver } from "./table_driver.ts";

/** Starts a server with HTTP on each connection. */
export function startDeno(handler: Handler, settings: ServeSettings): Driver {
  const internals = connectionServing();
  if (internals === undefined) throw new Error("This version of Deno has no HTTP on a connection");
  const hosting = { internals, handler, settings };
  if (settings.socket === undefined) return new DenoDriver(hosting, listen(settings));
  const standIn = new StandIn(
    settings.socket,
    (where) => listen({ ...settings, listen: where, reusePort: false }),
    (listener) => listener.close(),
  );
  return new DenoDriver(hosting, standIn.listener, standIn);
}

function listen(settings: ServeSettings): DenoListener {
  const options = listenOptions(settings);
  try {
    if (settings.tls === undefined) return deno().listen(options);
    return deno().listenTls({ ...options, alpnProtocols: ["h2", "http/1.1"] });
  } catch (error) {
    throw listenError(settings.listen, error);
  }
}

class DenoDriver extends TableDriver<DenoConnection> implements Driver {
  readonly engine: Engine = "deno";
  readonly addr: Addr;
  readonly secure: boolean;
  readonly #hosting: Hosting;
  readonly #acceptor: Acceptor;
  readonly #standIn: StandIn<DenoListener> | undefined;
  /** The number of the socket that took the stand-in's place. */
  #grafted: number | undefined;
  /** How many connections have been accepted. */
  #accepted = 0;
  #queue: AcceptQueue | undefined;
  #isClosed = false;

  constructor(
    hosting: Pick<Hosting, "internals" | "handler" | "settings">,
    listener: DenoListener,
    standIn?: StandIn<DenoListener>,
  ) {
    super();
    this.addr = hosting.settings.socket ?? addrOf(listener.addr);
    this.secure = hosting.settings.tls !== undefined;
    this.#hosting = {
      ...hosting,
      onGone: (conn) => this.conns.delete(conn),
      endsConnections: () => this.endsConnections,
      draining: () => this.onChange,
    };
    this.#acceptor = new Acceptor(listener, {
      onConn: (conn) => this.#start(conn),
      onError: (error) => void hosting.settings.onError(error),
    });
    this.#standIn = standIn;
    if (standIn === undefined) this.#acceptor.start();
  }

  acceptOn(fd: number): number {
    this.#grafted = this.#standIn!.graft(fd);
    this.#acceptor.start();
    return this.#grafted;
  }

  #start(accepted: DenoConn): void {
    this.#accepted++;
    // It was on its way when all others were ended.
    if (this.#isClosed) return accepted.close();
    const conn = new DenoConnection(accepted.remoteAddr, this.#hosting);
    this.conns.add(conn);
    attempt(() => conn.serve(accepted));
  }

  waitingToBeAccepted(): number | undefined {
    this.#queue = closingQueue(this.addr, () => this.#accepted, this.#grafted);
    return this.#queue.waiting();
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.#queue === undefined ? Promise.resolve() : takeInAcceptQueue(this.#queue, force);
  }

  async closeListeners(): Promise<void> {
    try {
      await this.#acceptor.close();
      this.onChange?.();
    } finally {
      const isOurs = this.#standIn === undefined;
      if (isOurs && this.addr.transport === "unix") rmSync(this.addr.path, { force: true });
    }
  }

  /** A connection that was accepted as the listener closed is one to wait for. */
  override closeIdle(now: number, policy: PollPolicy): boolean {
    return super.closeIdle(now, policy) || !this.#acceptor.isOver;
  }

  override async closeAll(): Promise<void> {
    this.#isClosed = true;
    await super.closeAll();
    await this.#acceptor.close();
  }
}
