/**
 * The engine `"deno"`: an accept loop, and Deno's own HTTP on each connection. The engine thus knows every
 * connection and can close a single one, which `Deno.serve` does not offer.
 */
import { Expiry } from "../../server/expiry.ts";
import type { Refable } from "../../server/native_server.ts";
import { rmSync } from "node:fs";
import { attempt } from "../../core/attempt.ts";
import type { Addr } from "../../core/addr.ts";
import type { PollPolicy } from "../../server/conn_table.ts";
import type { Engine, Handler, ServeSettings } from "../../options/serve.ts";
import { takeInAcceptQueue } from "../host/accept_queue.ts";
import { type ClosingQueue, closingQueue } from "./accept_queue.ts";
import { Acceptor } from "./acceptor.ts";
import { DenoConnection, type Hosting } from "./conn.ts";
import { type ConnectionServing, internals } from "./internals.ts";
import type { KernelServing } from "./kernel_acceptor.ts";
import { KernelDriver } from "./kernel_driver.ts";
import { listenOptions } from "./listen.ts";
import {
  disregardServeAddress,
  type ServeAddress,
  takeServeAddress,
} from "../host/serve_address.ts";
import {
  addrOf,
  deno,
  type DenoConn,
  type DenoListener,
  type DenoListenOptions,
} from "../api/deno.ts";
import type { StartedDriver } from "../../server/driver.ts";
import { listenError } from "../../core/listen_error.ts";
import { openKernelSockets } from "../linux/kernel_sockets.ts";
import { procFile } from "../linux/proc_files.ts";
import { readVariable } from "../host/variables.ts";
import { PlaceholderListener } from "../linux/placeholder_listener.ts";
import { TableDriver } from "../../server/table_driver.ts";

/** Starts a server of the engine `"deno"`. */
export function startDeno(handler: Handler, settings: ServeSettings): StartedDriver {
  const serving = internals.connectionServing();
  if (serving === undefined) {
    throw new Error("This version of Deno cannot serve HTTP on a single connection");
  }
  const hosting = { serving, handler, settings };
  if (settings.socket === undefined) {
    const ordered = takeServeAddress();
    if (ordered !== undefined || !canShareServer(settings)) {
      return new DenoDriver(hosting, listenAsOrdered(settings, ordered));
    }
    const { listener, kernelServing } = listenForKernel(settings, serving);
    return kernelServing === undefined
      ? new DenoDriver(hosting, [listener])
      : new KernelDriver(handler, settings, kernelServing);
  }
  disregardServeAddress();
  const placeholder = new PlaceholderListener(
    settings.socket,
    (where) => listen({ ...settings, listen: where, reusePort: false }),
    ({ addr }) => addrOf(addr),
    (listener) => listener.close(),
  );
  return new DenoDriver(hosting, [placeholder.listener], placeholder);
}

/** Returns whether one server of Deno may serve all connections, if the kernel shows them. */
function canShareServer({ listen, tls, onConnState, reusePort }: ServeSettings): boolean {
  // Deno opens one socket for all its listeners with SO_REUSEPORT at an address.
  return listen.transport === "tcp" && tls === undefined && onConnState === undefined &&
    !reusePort && !trustsProxies();
}

/** Returns whether Deno takes the address of a client from a header, so that it is not that of the connection. */
function trustsProxies(): boolean {
  const name = "DENO_TRUST_PROXY_HEADERS";
  return readVariable(name) === "1" ||
    procFile("/proc/self/environ").split("\0").includes(`${name}=1`);
}

/** Opens a listener. With the kernel's help, all its connections can be served by one server of Deno. */
function listenForKernel(
  settings: ServeSettings,
  serving: ConnectionServing,
): { listener: DenoListener; kernelServing?: KernelServing } {
  const { serveHttpOnListener } = serving;
  const kernel = openKernelSockets();
  if (kernel === undefined || typeof serveHttpOnListener !== "function") {
    return { listener: listen(settings) };
  }
  const { made: listener, fd } = kernel.opening(
    () => listen(settings),
    ({ addr }) => addrOf(addr),
    (listener) => listener.close(),
  );
  const accepted = fd === undefined ? undefined : kernel.acceptedBy(fd);
  if (fd === undefined || accepted === undefined || kernel.trafficOf(fd) === undefined) {
    return { listener };
  }
  // A connection that came before the listener had its label is not found by the label.
  if (kernel.waitingToBeAccepted(fd) !== 0) return { listener };
  const elsewhere = { transport: "tcp", hostname: "127.0.0.1", port: 0 } as const;
  const kernelServing = {
    serving: { ...serving, serveHttpOnListener },
    kernel,
    listener,
    fd,
    accepted,
    listenElsewhere: () => listen({ ...settings, listen: elsewhere }),
  };
  return { listener, kernelServing };
}

/**
 * Opens the listeners of a server, whose address is that of the first listener. `ordered` replaces the
 * address in `settings`, or adds a second listener if it is a duplicate.
 */
function listenAsOrdered(
  settings: ServeSettings,
  ordered: ServeAddress | undefined,
): readonly DenoListener[] {
  if (ordered === undefined) return [listen(settings)];
  const { where, isDuplicate } = ordered;
  if (!isDuplicate) {
    if (where.transport !== "tcp") return [listenPlain(where)];
    const { hostname, port } = where;
    return [listen({ ...settings, listen: { transport: "tcp", hostname, port } })];
  }
  const duplicate = listenPlain(where);
  try {
    return [listen(settings), duplicate];
  } catch (error) {
    duplicate.close();
    throw error;
  }
}

function listen(settings: ServeSettings): DenoListener {
  const options = listenOptions(settings);
  try {
    if (settings.tls === undefined || options.transport !== "tcp") return deno().listen(options);
    return deno().listenTls({ ...options, alpnProtocols: ["h2", "http/1.1"] });
  } catch (error) {
    throw listenError(settings.listen, error);
  }
}

function listenPlain(where: DenoListenOptions): DenoListener {
  try {
    return deno().listen(where);
  } catch (error) {
    if (where.transport !== "tcp" && where.transport !== "unix") throw error;
    throw listenError(where, error);
  }
}

class DenoDriver extends TableDriver<DenoConnection> implements StartedDriver {
  readonly engine: Engine = "deno";
  readonly addr: Addr;
  readonly scheme: "http" | "https";
  readonly #hosting: Hosting;
  readonly #acceptors: readonly Acceptor[];
  readonly #placeholder: PlaceholderListener<DenoListener> | undefined;
  /** The descriptor of the socket that has replaced the placeholder listener. */
  #fd: number | undefined;
  #queues: readonly ClosingQueue[] = [];
  #isClosed = false;

  constructor(
    hosting: Pick<Hosting, "serving" | "handler" | "settings">,
    listeners: readonly DenoListener[],
    placeholder?: PlaceholderListener<DenoListener>,
  ) {
    super();
    const { socket, tls, onError } = hosting.settings;
    this.addr = socket ?? addrOf(listeners[0]!.addr);
    // Deno supports TLS only on TCP.
    this.scheme = tls !== undefined && this.addr.transport === "tcp" ? "https" : "http";
    this.#hosting = {
      ...hosting,
      onGone: (conn) => this.conns.delete(conn),
      endsConnections: () => this.endsConnections,
      draining: (conn) => this.onChangeOf(conn),
    };
    this.#acceptors = listeners.map((listener) =>
      new Acceptor(listener, {
        onConn: (conn) => this.#start(conn),
        onError: (error) => void onError(error),
      })
    );
    this.#placeholder = placeholder;
    this.expiry = new Expiry(this.conns, hosting.settings.limits);
    if (placeholder === undefined) this.#accept();
  }

  get native(): undefined {
    return undefined;
  }

  get handles(): readonly Refable[] {
    return this.#acceptors.map(({ listener }) => listener);
  }

  acceptOn(fd: number): number {
    this.#fd = this.#placeholder!.replaceListener(fd);
    this.#accept();
    return this.#fd;
  }

  #accept(): void {
    for (const acceptor of this.#acceptors) acceptor.start();
  }

  #start(accepted: DenoConn): void {
    // The accept was pending when closeAll() ended the other connections.
    if (this.#isClosed) return accepted.close();
    const conn = new DenoConnection(accepted.remoteAddr, this.#hosting);
    this.conns.add(conn);
    attempt(() => conn.serve(accepted));
  }

  waitingToBeAccepted(): number | undefined {
    this.#queues = this.#acceptors.map((acceptor) =>
      closingQueue(addrOf(acceptor.listener.addr), () => acceptor.accepted, this.#fd)
    );
    const waiting = this.#queues.map((queue) => queue.waiting());
    if (waiting.includes(undefined)) return undefined;
    return waiting.reduce<number>((sum, count) => sum + count!, 0);
  }

  async emptyAcceptQueue(force: AbortSignal): Promise<void> {
    await Promise.all(this.#queues.map((queue) => takeInAcceptQueue(queue, force)));
  }

  async closeListeners(): Promise<void> {
    for (const queue of this.#queues) attempt(() => queue.close?.());
    try {
      await Promise.all(this.#acceptors.map((acceptor) => acceptor.close()));
      this.onChange?.();
    } finally {
      if (this.#placeholder === undefined) this.#removeSocketFiles();
    }
  }

  #removeSocketFiles(): void {
    for (const { listener: { addr: { path } } } of this.#acceptors) {
      if (path !== undefined) rmSync(path, { force: true });
    }
  }

  /**
   * Closes idle connections. Returns whether no connection is left to wait for, and none can arrive: a closed
   * listener may still accept one last connection.
   */
  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    const isQuiescent = super.closeIdleConns(now, policy);
    return isQuiescent && this.#acceptors.every(({ isOver }) => isOver);
  }

  override async closeAll(): Promise<void> {
    this.#isClosed = true;
    await super.closeAll();
    await Promise.all(this.#acceptors.map((acceptor) => acceptor.close()));
  }
}
