/** The listening sockets of a supervisor, on which it accepts nothing itself. */
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
  /** What tells the file of a unix socket from that of another one at the same path. */
  readonly file?: string | undefined;
}

/** The listening sockets that the workers inherit. */
export class Listeners {
  /** The socket of each address that all workers share, or the sockets of an address for one worker each. */
  readonly #all: readonly (SharedSocket | SocketPerWorker)[];
  #isOpen = true;

  private constructor(all: readonly (SharedSocket | SocketPerWorker)[]) {
    this.#all = all;
  }

  /**
   * Opens a listener for each address, or takes over the socket that a service manager has opened there, and all other
   * sockets of the service manager. With `reuseport`, opens as many listeners as there are `workers` for a TCP address.
   * Calls `onOccupied` when an address is in use, and waits for it for a moment.
   *
   * @throws {UpgradeError} With `reuseport`, if the kernel cannot be told which workers are ready.
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
          // The socket has shown that the address is free, which sockets with SO_REUSEPORT do not show.
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

  /** Opens listeners until there are enough for so many workers. */
  async openFor(workers: number): Promise<void> {
    try {
      for (const own of this.#perWorker) await own.openFor(workers);
    } finally {
      // The supervisor may have begun to end meanwhile.
      if (!this.#isOpen) { for (const own of this.#perWorker) own.close(); }
    }
  }

  /** Returns the listeners of the worker in a place. */
  socketsOf(place: number): readonly InheritedSocket[] {
    return this.#all.map((one) => one instanceof SocketPerWorker ? one.socketOf(place) : one);
  }

  /** Has the kernel give new connections to the workers in these places alone, where they have sockets of their own. */
  spreadOver(places: ReadonlySet<number>): void {
    for (const own of this.#perWorker) own.spreadOver(places);
  }

  /** Closes the sockets here. Workers that have them go on listening. */
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
  return { ...socket, asked, handoff: "inherit", unlink: isUnix, file };
}
