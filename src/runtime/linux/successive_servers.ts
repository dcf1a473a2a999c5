import type { Addr } from "../../core/addr.ts";
import { attempt } from "../../core/attempt.ts";
import type { ConnInfo } from "../../core/conn.ts";
import { UpgradeError } from "../../core/errors.ts";
import type { Engine } from "../../options/serve.ts";
import type { ClosingHandshake } from "../../options/hijacked.ts";
import type { Certificates } from "../../options/tls.ts";
import type { PollPolicy, Tally } from "../../server/conn_table.ts";
import type { Driver } from "../../server/driver.ts";
import type { Refable } from "../../server/native_server.ts";
import { ServedCertificates } from "../../server/served_certificates.ts";

/** The driver of a server of the runtime whose listener can go to another server of the same process. */
export interface ReplaceableDriver extends Driver {
  readonly acceptOn: NonNullable<Driver["acceptOn"]>;
  /**
   * Starts to accept on the socket with the descriptor `fd`, on which another server of this process accepts
   * as well. Returns the descriptor of the socket for this server.
   */
  acceptBeside(fd: number): number;
  /**
   * Returns the descriptor of the listening socket.
   *
   * @throws {UpgradeError} If the descriptor is not known.
   */
  listenerFd(): number;
  /**
   * Closes only the listener. The server keeps serving its connections. Must be called in the turn of the
   * event loop in which another server starts to accept on the socket.
   */
  closeListenerAlone(): void;
  /** Ends a server without a listener if no connection is left. Returns whether the server has ended. */
  endIfUnused(): boolean;
}

/**
 * Starts the driver of a server with certificates. If `socket` is given, the server does not accept before
 * `acceptOn` or `acceptBeside` is called.
 */
export type StartReplaceable = (
  certificates: Certificates,
  socket: Addr | undefined,
) => ReplaceableDriver;

/**
 * The driver of a server on a runtime that cannot change the certificates of a server. For new certificates
 * a new server takes over the listening socket inside the process, and the former servers keep serving
 * their connections until these end. For the caller all of them together are one server.
 */
export class SuccessiveServers implements Driver, Refable {
  readonly certificates: ServedCertificates;
  readonly #start: StartReplaceable;
  #current: ReplaceableDriver;
  /** The servers without a listener. */
  #former: readonly ReplaceableDriver[] = [];
  /** Whether the current server accepts, and no longer waits for `acceptOn`. */
  #isAccepting: boolean;
  #isLameDuck = false;
  /** Whether the server keeps the process alive. */
  #isRef = true;
  #onMoved = (_fd: number): void => {};

  /**
   * Creates the driver and its first server. `socket` is the address of the socket that the driver will be
   * given; undefined if the driver opens its own socket.
   */
  constructor(start: StartReplaceable, certificates: Certificates, socket: Addr | undefined) {
    this.#start = start;
    this.#isAccepting = socket === undefined;
    this.#current = start(certificates, socket);
    this.certificates = new ServedCertificates(
      certificates,
      (certificates) => this.#replaceServer(certificates),
    );
  }

  get engine(): Engine {
    return this.#current.engine;
  }

  get addr(): Addr {
    return this.#current.addr;
  }

  get scheme(): Driver["scheme"] {
    return this.#current.scheme;
  }

  get native(): unknown {
    return this.#current.native;
  }

  /** One handle for all servers, including servers that take over later. */
  get handles(): readonly Refable[] {
    return [this];
  }

  ref(): void {
    this.#isRef = true;
    for (const handle of this.#handles) handle.ref();
  }

  unref(): void {
    this.#isRef = false;
    for (const handle of this.#handles) handle.unref();
  }

  get #handles(): readonly Refable[] {
    return this.#all.flatMap(({ handles }) => handles);
  }

  get tally(): Tally {
    const sum = { idle: 0, drained: 0, forced: 0 };
    for (const { tally } of this.#all) {
      sum.idle += tally.idle;
      sum.drained += tally.drained;
      sum.forced += tally.forced;
    }
    return sum;
  }

  get #all(): readonly ReplaceableDriver[] {
    return [...this.#former, this.#current];
  }

  #replaceServer(certificates: Certificates): void {
    const former = this.#current;
    if (former.addr.transport === "unix") {
      throw new UpgradeError("Cannot hand a unix socket to another server of this process");
    }
    const fd = this.#isAccepting ? former.listenerFd() : undefined;
    const next = this.#start(certificates, former.addr);
    if (this.#isLameDuck) next.startLameDuck?.();
    if (fd === undefined) {
      attempt(() => former.closeAll());
    } else {
      this.#onMoved(acceptBeside(next, fd));
      former.closeListenerAlone();
      this.#former = [...this.#former, former].filter((server) => !server.endIfUnused());
    }
    this.#current = next;
    if (!this.#isRef) this.unref();
  }

  async acceptOn(fd: number, onMoved: (fd: number) => void): Promise<number> {
    this.#onMoved = onMoved;
    this.#isAccepting = true;
    return await this.#current.acceptOn(fd, onMoved);
  }

  startLameDuck(): void {
    this.#isLameDuck = true;
    for (const server of this.#all) server.startLameDuck?.();
  }

  startDrain(onChange: () => void, isShared?: boolean): void {
    for (const server of this.#all) server.startDrain(onChange, isShared);
  }

  get refusesNewConns(): boolean {
    return this.#current.refusesNewConns === true;
  }

  waitingToBeAccepted(): number | undefined {
    return this.#current.waitingToBeAccepted();
  }

  emptyAcceptQueue(force: AbortSignal): Promise<void> {
    return this.#current.emptyAcceptQueue(force);
  }

  async closeListeners(spareIdle: boolean): Promise<void> {
    await Promise.all(this.#all.map((server) => server.closeListeners(spareIdle)));
  }

  endConnections(): void {
    for (const server of this.#all) server.endConnections?.();
  }

  closeWebSockets(handshake: ClosingHandshake): void {
    for (const server of this.#all) server.closeWebSockets?.(handshake);
  }

  closeIdleConns(now: number, policy: PollPolicy): boolean {
    return this.#all.map((server) => server.closeIdleConns(now, policy)).every(Boolean);
  }

  async closeAll(): Promise<void> {
    await Promise.all(this.#all.map((server) => server.closeAll()));
  }

  connections(now: number): ConnInfo[] {
    return this.#all.flatMap((server) => server.connections(now));
  }
}

/** Makes a server accept on the socket of another server. Ends the new server if that fails. */
function acceptBeside(server: ReplaceableDriver, fd: number): number {
  try {
    return server.acceptBeside(fd);
  } catch (error) {
    attempt(() => server.closeAll());
    throw error;
  }
}
