/**
 * The engine `"deno"`: an accept loop, and Deno's own HTTP on each connection. The engine thus knows every
 * connection and can close a single one, which `Deno.serve` does not offer.
 */
import { ignoringLeftClients } from "../../server/left_client.ts";
import { saysClientLeft } from "./left_client.ts";
import { Expiry } from "../../server/expiry.ts";
import type { Refable } from "../../server/native_server.ts";
import { rmSync } from "node:fs";
import { attempt } from "../../core/attempt.ts";
import type { Addr } from "../../core/addr.ts";
import type { PollPolicy } from "../../server/conn_table.ts";
import type { Engine, Handler, ServeSettings } from "../../options/serve.ts";
import { connectionsToCome, takeInAcceptQueue } from "../host/accept_queue.ts";
import { type ClosingQueue, closingQueue } from "./accept_queue.ts";
import { Acceptor } from "./acceptor.ts";
import { ClientConns } from "./client_conns.ts";
import { DenoConnection, type Hosting } from "./conn.ts";
import { type ConnectionServing, internals } from "./internals.ts";
import type { KernelServing } from "./kernel_acceptor.ts";
import { KernelDriver } from "./kernel_driver.ts";
import {
  disregardServeAddress,
  type ServeAddress,
  takeServeAddress,
} from "../host/serve_address.ts";
import { addrOf, type DenoConn } from "../api/deno.ts";
import type { Driver } from "../../server/driver.ts";
import type { ServedCertificates } from "../../server/served_certificates.ts";
import { openKernelSockets } from "../linux/kernel_sockets.ts";
import { procFile } from "../linux/proc_files.ts";
import { readVariable } from "../host/variables.ts";
import {
  listenPlain,
  type OpenedListener,
  openKnown,
  openListener,
  ServerListener,
} from "./server_listener.ts";
import { TableDriver } from "../../server/table_driver.ts";

/** Starts a server on the engine `"deno"`. */
export function startDeno(handler: Handler, asked: ServeSettings): Driver {
  const settings = ignoringLeftClients(asked, saysClientLeft);
  const serving = internals.connectionServing();
  if (serving === undefined) {
    throw new Error("This version of Deno cannot serve HTTP on a single connection");
  }
  const hosting = { serving, handler, settings };
  if (settings.socket !== undefined) {
    disregardServeAddress();
    return new DenoDriver(hosting);
  }
  const ordered = takeServeAddress();
  if (ordered !== undefined || !canShareServer(settings)) return new DenoDriver(hosting, ordered);
  const { opened, kernelServing } = listenForKernel(settings, serving);
  return kernelServing === undefined
    ? new DenoDriver(hosting, undefined, opened)
    : new KernelDriver(handler, settings, kernelServing);
}

/** Returns whether one server of Deno may serve all connections, provided that the kernel shows the connections. */
function canShareServer({ listen, tls, onConnState, reusePort }: ServeSettings): boolean {
  // Deno opens one socket for all its listeners with SO_REUSEPORT at an address.
  return listen.transport === "tcp" && tls === undefined && onConnState === undefined &&
    !reusePort && !trustsProxies();
}

/**
 * Returns whether Deno takes client addresses from a header, so that they differ from the addresses of the
 * connections.
 */
function trustsProxies(): boolean {
  const name = "DENO_TRUST_PROXY_HEADERS";
  return readVariable(name) === "1" ||
    procFile("/proc/self/environ").split("\0").includes(`${name}=1`);
}

/**
 * Opens a listener whose connections the kernel can show, so that one server of Deno can serve all of them.
 * If the kernel cannot show them, the result has no `kernelServing`, but may have the listener.
 */
function listenForKernel(
  settings: ServeSettings,
  serving: ConnectionServing,
): { opened?: OpenedListener; kernelServing?: KernelServing } {
  const { serveHttpOnListener } = serving;
  const kernel = openKernelSockets();
  if (kernel === undefined || typeof serveHttpOnListener !== "function") return {};
  const opened = openKnown(() => openListener(settings));
  const { listener, socket } = opened;
  const fd = socket?.fd;
  const accepted = fd === undefined ? undefined : kernel.acceptedBy(fd);
  if (fd === undefined || accepted === undefined || kernel.trafficOf(fd) === undefined) {
    return { opened };
  }
  // A connection that arrived before the listener had its label does not have the label, and would not
  // be found.
  if (kernel.waitingToBeAccepted(fd) !== 0) return { opened };
  const elsewhere = { transport: "tcp", hostname: "127.0.0.1", port: 0 } as const;
  const kernelServing = {
    serving: { ...serving, serveHttpOnListener },
    kernel,
    listener,
    fd,
    accepted,
    listenElsewhere: () => openListener({ ...settings, listen: elsewhere }),
  };
  return { opened, kernelServing };
}

class DenoDriver extends TableDriver<DenoConnection> implements Driver {
  readonly engine: Engine = "deno";
  readonly addr: Addr;
  readonly scheme: "http" | "https";
  readonly certificates: ServedCertificates | undefined;
  readonly #hosting: Hosting;
  readonly #listener: ServerListener;
  /** The acceptor of a listener at another address, without TLS. */
  readonly #duplicate: Acceptor | undefined;
  #queues: readonly ClosingQueue[] = [];
  #isClosed = false;

  /**
   * Opens the listeners of a server. `ordered` replaces the address in the settings, or adds a second listener
   * if it is a duplicate. `opened` is the listener, if it is already open.
   */
  constructor(
    hosting: Pick<Hosting, "serving" | "handler" | "settings">,
    ordered?: ServeAddress,
    opened?: OpenedListener,
  ) {
    super();
    const { socket } = hosting.settings;
    const conns = new ClientConns(() =>
      socket === undefined
        ? [
          this.addr,
          ...(this.#duplicate === undefined ? [] : [addrOf(this.#duplicate.listener.addr)]),
        ]
        : [socket]
    );
    this.#hosting = {
      ...hosting,
      cut: (client) => conns.cut(client),
      receivedAgo: (client) => conns.trafficOf(client)?.receivedAgo,
      onGone: (conn) => this.conns.delete(conn),
      onWebSocket: (conn) => this.closeIfWebSocket(conn),
      endsConnections: () => this.endsConnections,
      draining: (conn) => this.onChangeOf(conn),
    };
    const { settings } = hosting;
    const events = {
      onConn: (conn: DenoConn) => this.#start(conn),
      onError: (error: unknown) => void settings.onError(error),
    };
    const { where, isDuplicate = false } = ordered ?? {};
    const duplicate = where && isDuplicate ? listenPlain(where) : undefined;
    try {
      this.#listener = new ServerListener(
        settings,
        events,
        isDuplicate ? undefined : where,
        opened,
      );
    } catch (error) {
      duplicate?.close();
      throw error;
    }
    this.#duplicate = duplicate && new Acceptor(duplicate, events);
    this.#duplicate?.start();
    this.addr = this.#listener.addr;
    this.certificates = this.#listener.certificates;
    this.scheme = this.certificates === undefined ? "http" : "https";
    this.expiry = new Expiry(this.conns, settings.limits);
  }

  get native(): undefined {
    return undefined;
  }

  get handles(): readonly Refable[] {
    return [this.#listener, ...(this.#duplicate === undefined ? [] : [this.#duplicate.listener])];
  }

  acceptOn(fd: number, onMoved: (fd: number) => void): number {
    return this.#listener.acceptOn(fd, onMoved);
  }

  #start(accepted: DenoConn): void {
    // The accept was pending when closeAll() ended the other connections.
    if (this.#isClosed) return accepted.close();
    const conn = new DenoConnection(accepted.remoteAddr, this.#hosting);
    this.conns.add(conn);
    attempt(() => conn.serve(accepted));
  }

  waitingToBeAccepted(): number | undefined {
    const duplicate = this.#duplicate;
    this.#queues = [
      this.#listener.closingQueue(this.isShared ?? false),
      ...(duplicate === undefined
        ? []
        : [closingQueue(addrOf(duplicate.listener.addr), () => duplicate.accepted)]),
    ];
    const waiting = this.#queues.map(connectionsToCome);
    if (waiting.includes(undefined)) return undefined;
    return waiting.reduce<number>((sum, count) => sum + count!, 0);
  }

  async emptyAcceptQueue(force: AbortSignal): Promise<void> {
    await Promise.all(this.#queues.map((queue) => takeInAcceptQueue(queue, force)));
  }

  async closeListeners(): Promise<void> {
    for (const queue of this.#queues) attempt(() => queue.close?.());
    try {
      await this.#closeAcceptors();
      this.onChange?.();
    } finally {
      for (const path of [this.#listener.socketFile, this.#duplicate?.listener.addr.path]) {
        if (path !== undefined) rmSync(path, { force: true });
      }
    }
  }

  async #closeAcceptors(): Promise<void> {
    await Promise.all([this.#listener.close(), this.#duplicate?.close()]);
  }

  /**
   * Closes idle connections. Returns whether no connection is left to wait for, and none can arrive: a closed
   * listener may still accept one last connection.
   */
  override closeIdleConns(now: number, policy: PollPolicy): boolean {
    const isQuiescent = super.closeIdleConns(now, policy);
    return isQuiescent && this.#listener.isOver && (this.#duplicate?.isOver ?? true);
  }

  override async closeAll(): Promise<void> {
    this.#isClosed = true;
    await super.closeAll();
    await this.#closeAcceptors();
  }
}
