/**
 * The driver of an adopted server of `node:http`. It does not touch the server until a lame-duck phase or a
 * drain starts.
 */
import type { Refable } from "../../server/native_server.ts";
import type http from "node:http";
import type net from "node:net";
import type { Addr } from "../../core/addr.ts";
import type { ConnInfo } from "../../core/conn.ts";
import type { ClosingHandshake } from "../../options/hijacked.ts";
import type { Engine } from "../../options/serve.ts";
import { ConnTable, type PollPolicy, type Tally } from "../../server/conn_table.ts";
import type { Driver } from "../../server/driver.ts";
import { acceptedAt, noteAccepted, noteRequest } from "./arrival_times.ts";
import { NodeConn } from "./conn.ts";
import { type NodeDriver, restoreState } from "./driver.ts";
import { internals } from "./internals.ts";
import { RememberedAddr } from "./listen.ts";
import { notePipelined, type OpenConnection, openConnections } from "./open_connections.ts";
import { ServerHooks } from "./server_hooks.ts";

/** The events with which a server announces a request. */
export const REQUEST_EVENTS = ["request", "checkContinue", "checkExpectation"] as const;

/**
 * The driver of an adopted server of `node:http`. Node itself knows which connections are open and which
 * requests are in flight, so the driver asks Node when a lame-duck phase or a drain starts, and hands over to
 * a {@linkcode NodeDriver}. Until then each connection and each request only costs a time that is stored on
 * the socket.
 */
export class LateNodeDriver implements Driver {
  readonly engine: Engine = "node";
  readonly scheme = "http";
  readonly #server: net.Server;
  readonly #hooks: ServerHooks;
  readonly #addr: RememberedAddr;
  readonly #startTracking: (addr: Addr | undefined) => NodeDriver;
  #tracking: NodeDriver | undefined;
  /** The connections that HTTP has released to an upgrade or a tunnel. Node does not know all of them. */
  readonly #hijacked = new Set<net.Socket>();
  /** Whether the first request has shown that Node's internals report the requests in flight. */
  #isProven = false;

  /** `startTracking` creates the driver that tracks each connection, with the address of the server. */
  constructor(server: net.Server, startTracking: (addr: Addr | undefined) => NodeDriver) {
    this.#server = server;
    this.#startTracking = startTracking;
    this.#hooks = new ServerHooks(server);
    this.#addr = new RememberedAddr(
      server,
      undefined,
      (learn) => this.#hooks.on("listening", learn),
    );
    for (const socket of internals.acceptedBy(server)) noteAccepted(socket);
    this.#hooks.on("connection", noteAccepted);
    for (const event of REQUEST_EVENTS) this.#hooks.inFrontOfOthers(event, this.#onRequest);
    for (const event of ["upgrade", "connect"]) {
      this.#hooks.inFrontOfOthers(event, (_req: unknown, socket: net.Socket) => {
        this.#hijacked.add(socket);
        socket.once("close", () => this.#hijacked.delete(socket));
      });
    }
  }

  get addr(): Addr {
    return this.#addr.value;
  }

  get native(): unknown {
    return this.#server;
  }

  get handles(): readonly Refable[] {
    return [this.#server];
  }

  readonly #onRequest = (req: http.IncomingMessage, res: http.ServerResponse): void => {
    const { socket } = req;
    noteRequest(socket);
    const sending = internals.responseOf(socket);
    if (sending === res && this.#isProven) return;
    if (this.#isProven || this.#proves(req, res)) {
      this.#isProven = true;
      if (sending !== res) notePipelined(socket, res);
    } else {
      this.#track().begin(req, res);
    }
  };

  /** Returns whether Node's internals show a request that has just arrived, and its connection. */
  #proves(req: http.IncomingMessage, res: http.ServerResponse): boolean {
    const { socket } = req;
    const open = openConnections(this.#server).find((one) => one.socket === socket);
    const list = internals.httpConnectionsOf(this.#server);
    return open?.response === res && internals.newestRequest(socket) === req &&
      internals.hasParser(socket) && list?.active.has(socket) === true;
  }

  /** Starts to track the connections, including the connections that are open now. */
  #track(): NodeDriver {
    if (this.#tracking === undefined) {
      this.#hooks.release();
      this.#tracking = this.#startTracking(this.#addr.known);
      for (const open of this.#open()) this.#tracking.addOpen(open);
    }
    return this.#tracking;
  }

  #open(): OpenConnection[] {
    return openConnections(this.#server, this.#hijacked);
  }

  get tally(): Tally {
    return this.#tracking?.tally ?? { idle: 0, drained: 0, forced: 0 };
  }

  startLameDuck(): void {
    this.#track().startLameDuck();
  }

  startDrain(onChange: () => void, isShared?: boolean): void {
    this.#track().startDrain(onChange, isShared);
  }

  waitingToBeAccepted(): number | undefined {
    return this.#track().waitingToBeAccepted();
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.#track().emptyAcceptQueue(force);
  }

  closeListeners(): Promise<void> {
    return this.#track().closeListeners();
  }

  endConnections(): void {
    this.#track().endConnections();
  }

  closeWebSockets(handshake: ClosingHandshake): void {
    this.#track().closeWebSockets(handshake);
  }

  closeIdleConns(now: number, policy: PollPolicy): boolean {
    return this.#track().closeIdleConns(now, policy);
  }

  closeAll(): Promise<void> {
    return this.#track().closeAll();
  }

  connections(now: number): ConnInfo[] {
    if (this.#tracking !== undefined) return this.#tracking.connections(now);
    const table = new ConnTable<NodeConn>();
    for (const open of this.#open()) {
      const conn = new NodeConn(open.accepted, false, undefined, acceptedAt(open.accepted));
      restoreState(conn, open);
      table.add(conn);
    }
    return table.snapshot(now);
  }

  release(): void {
    this.#hooks.release();
    this.#tracking?.release();
  }
}
