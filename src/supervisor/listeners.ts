/** The listening sockets of a supervisor. The supervisor itself accepts no connection on them. */
import { rmSync } from "node:fs";
import type { Addr } from "../core/addr.ts";
import { sockets } from "../runtime/sockets.ts";
import type { InheritedSocket } from "../listener/handover.ts";
import { claim, takeAll } from "../listener/inheritance.ts";
import type { SupervisorSettings } from "./options.ts";
import { BACKLOG, SocketPerWorker } from "./socket_per_worker.ts";
import { idOfFile, whenFree } from "./when_free.ts";

/** A socket that all workers share. */
interface SharedSocket extends InheritedSocket {
  /** The identity of the file of a unix socket, which tells it from a later file at the same path. */
  readonly file?: string | undefined;
}

/** The listening sockets that the workers inherit. */
export class Listeners {
  /** An entry for each address: one socket that all workers share, or a socket for each worker. */
  readonly #all: readonly (SharedSocket | SocketPerWorker)[];
  #isOpen = true;

  private constructor(all: readonly (SharedSocket | SocketPerWorker)[]) {
    this.#all = all;
  }

  /**
   * Opens a listener for each address, or takes over the socket that a service manager has opened there, and all other
   * sockets of the service manager. With `reuseport`, opens as many listeners as there are `workers` for a TCP address.
   * Calls `onOccupied` when an address is in use, and waits {@linkcode OCCUPIED} ms for the address.
   *
   * @throws {UpgradeError} With `reuseport`, if this runtime cannot choose which workers get
   * connections.
   * @throws {Error} If a socket cannot listen. Nothing is left open then.
   */
  static async open(
    { listen, reuseport, workers }: Pick<SupervisorSettings, "listen" | "reuseport" | "workers">,
    onOccupied: (addr: Addr) => void,
  ): Promise<Listeners> {
    const opened: SharedSocket[] = [];
    const perWorker: SocketPerWorker[] = [];
    try {
      const listed: (SharedSocket | SocketPerWorker)[] = [];
      for (const addr of listen) {
        const known = claim(addr, undefined);
        const socket = known ?? await whenFree(addr, () => openSocket(addr), onOccupied);
        if (known === undefined && reuseport && addr.transport === "tcp") {
          // This socket has shown that the address is free. A socket with SO_REUSEPORT would not show
          // that.
          sockets().close(socket.fd);
          const own = new SocketPerWorker(socket);
          perWorker.push(own);
          listed.push(own);
          continue;
        }
        listed.push(socket);
        if (known === undefined) opened.push(socket);
      }
      await sockets().startListening(opened, BACKLOG);
      for (const own of perWorker) await own.openFor(workers);
      return new Listeners([...listed, ...takeAll()]);
    } catch (error) {
      const failed = new Listeners([...opened, ...perWorker]);
      failed.close();
      failed.removeFiles();
      throw error;
    }
  }

  get addresses(): readonly Addr[] {
    return this.#all.map(({ addr }) => addr);
  }

  /** The highest number of workers for which there are listeners. */
  get capacity(): number {
    return Math.min(...this.#perWorker.map(({ count }) => count));
  }

  /** Opens listeners until there are enough for the given number of workers. */
  async openFor(workers: number): Promise<void> {
    try {
      for (const own of this.#perWorker) await own.openFor(workers);
    } finally {
      // The supervisor may have begun to end in the meantime.
      if (!this.#isOpen) { for (const own of this.#perWorker) own.close(); }
    }
  }

  /** Returns the listeners of the worker in a place. */
  socketsOf(place: number): readonly InheritedSocket[] {
    return this.#all.map((one) => one instanceof SocketPerWorker ? one.socketOf(place) : one);
  }

  /**
   * Makes the kernel give new connections only to the workers in these places, for addresses with a socket
   * for each worker.
   */
  spreadOver(places: ReadonlySet<number>): void {
    for (const own of this.#perWorker) own.spreadOver(places);
  }

  /** Closes the sockets in this process. Workers that have inherited them keep listening. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const one of this.#all) {
      if (one instanceof SocketPerWorker) one.close();
      else sockets().close(one.fd);
    }
  }

  /**
   * Removes the files of the unix sockets that were opened here. While the last workers drain, the next supervisor may
   * have put a socket of its own in the place.
   */
  removeFiles(): void {
    for (const one of this.#all) {
      if (!("unlink" in one) || !one.unlink || one.addr.transport !== "unix") continue;
      const { path } = one.addr;
      if (idOfFile(path) === one.file) rmSync(path, { force: true });
    }
  }

  get #perWorker(): readonly SocketPerWorker[] {
    return this.#all.filter((one) => one instanceof SocketPerWorker);
  }
}

async function openSocket(asked: Addr): Promise<SharedSocket> {
  const socket = await sockets().open(asked, { backlog: BACKLOG, reusePort: false });
  const isUnix = asked.transport === "unix";
  const file = isUnix ? idOfFile(asked.path) : undefined;
  return { ...socket, asked, handoff: "inherit", unlink: isUnix, kept: false, file };
}
