import type { Addr } from "../core/addr.ts";
import { UpgradeError } from "../core/errors.ts";
import type { InheritedSocket } from "../listener/handover.ts";
import { sockets } from "../runtime/sockets.ts";

/** The number of connections that may wait for a worker, as on Node. */
export const BACKLOG = 511;

/**
 * The listening sockets of an address that share its port with SO_REUSEPORT, one for the worker in each place. The
 * sockets stay open until the end, so that a worker that replaces another worker accepts the connections in its queue.
 */
export class SocketPerWorker {
  readonly addr: Addr;
  readonly #asked: Addr;
  /** The sockets, in the order in which they have begun to listen. */
  readonly #sockets: InheritedSocket[] = [];
  /** The places that new connections are spread over, as text. */
  #spread = "";

  constructor({ addr, asked }: Pick<InheritedSocket, "addr" | "asked">) {
    this.addr = addr;
    this.#asked = asked;
  }

  /** The number of sockets. */
  get count(): number {
    return this.#sockets.length;
  }

  /**
   * Opens sockets until there are `count`.
   *
   * @throws {UpgradeError} If this runtime cannot choose which sockets get connections.
   */
  async openFor(count: number): Promise<void> {
    if (sockets().spreadOver === undefined) {
      throw new UpgradeError(
        "Cannot supervise with 'reuseport': connections cannot be kept from workers that are not ready. That needs Linux, " +
          "and with Node version 26.1 or later",
      );
    }
    const opened: InheritedSocket[] = [];
    try {
      while (this.count + opened.length < count) opened.push(await this.#open());
      await sockets().startListening(opened, BACKLOG);
    } catch (error) {
      for (const { fd } of opened) sockets().close(fd);
      throw error;
    }
    this.#sockets.push(...opened);
  }

  async #open(): Promise<InheritedSocket> {
    const socket = await sockets().open(this.addr, { backlog: BACKLOG, reusePort: true });
    return { ...socket, asked: this.#asked, handoff: "inherit", unlink: false, kept: false };
  }

  /** Returns the socket of the worker in a place. */
  socketOf(place: number): InheritedSocket {
    return this.#sockets[place]!;
  }

  /**
   * Makes the kernel give new connections only to the sockets in these places. If `places` is empty or the kernel
   * refuses, nothing changes: new connections for a worker that is not ready then wait in its queue.
   */
  spreadOver(places: ReadonlySet<number>): void {
    const chosen = [...places].sort((a, b) => a - b);
    const spread = chosen.join(" ");
    const [first] = this.#sockets;
    if (first === undefined || spread === "" || spread === this.#spread) return;
    if (sockets().spreadOver?.(first.fd, chosen)) this.#spread = spread;
  }

  /** Closes the sockets in this process. Workers that have inherited them keep listening. */
  close(): void {
    for (const { fd } of this.#sockets.splice(0)) sockets().close(fd);
  }
}
