/** The listening sockets of a supervisor, on which it accepts nothing itself. */
import { lstatSync, rmSync } from "node:fs";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Addr } from "../core/addr.ts";
import { sockets } from "../runtime/sockets.ts";
import type { InheritedSocket } from "../listener/handover.ts";
import { claim, takeAll } from "../listener/inheritance.ts";

/**
 * The number of milliseconds for which an address may be in use: the workers of a supervisor that was killed close
 * their listeners within this time.
 */
const OCCUPIED = 2_000;
/** The number of milliseconds between two attempts to listen. */
const INTERVAL = 20;
/** The number of connections that may wait for a worker, as on Node. */
const BACKLOG = 511;

/** The listening sockets that the workers inherit. */
export class Listeners {
  readonly sockets: readonly InheritedSocket[];
  #isOpen = true;

  private constructor(sockets: readonly InheritedSocket[]) {
    this.sockets = sockets;
  }

  /**
   * Opens a listener for each address, or takes over the socket that a service manager has opened there, and all other
   * sockets of the service manager. Calls `onOccupied` when an address is in use, and waits for it for a moment.
   *
   * @throws {Error} If a socket cannot listen. Nothing is left open then.
   */
  static async open(
    addresses: readonly Addr[],
    onOccupied: (addr: Addr) => void,
  ): Promise<Listeners> {
    const opened: InheritedSocket[] = [];
    try {
      const listed: InheritedSocket[] = [];
      for (const addr of addresses) {
        const known = claim(addr, undefined);
        const socket = known ?? await openWhenFree(addr, onOccupied);
        listed.push(socket);
        if (known === undefined) opened.push(socket);
      }
      await sockets().startListening(opened, BACKLOG);
      return new Listeners([...listed, ...takeAll()]);
    } catch (error) {
      const failed = new Listeners(opened);
      failed.close();
      failed.removeFiles();
      throw error;
    }
  }

  get addresses(): readonly Addr[] {
    return this.sockets.map(({ addr }) => addr);
  }

  /** Closes the sockets here. Workers that have them go on listening. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const { fd } of this.sockets) sockets().close(fd);
  }

  /** Removes the files of the unix sockets that were opened here. */
  removeFiles(): void {
    for (const { addr, unlink } of this.sockets) {
      if (unlink && addr.transport === "unix") rmSync(addr.path, { force: true });
    }
  }
}

async function openWhenFree(
  asked: Addr,
  onOccupied: (addr: Addr) => void,
): Promise<InheritedSocket> {
  const end = performance.now() + OCCUPIED;
  let isReported = false;
  for (;;) {
    try {
      const socket = await sockets().open(asked, { backlog: BACKLOG, reusePort: false });
      const unlink = asked.transport === "unix";
      return { ...socket, asked, handoff: "inherit", unlink };
    } catch (error) {
      if (!isInUse(error) || performance.now() >= end) throw error;
      if (asked.transport === "unix" && await isLeftBehind(asked.path)) {
        rmSync(asked.path, { force: true });
        continue;
      }
    }
    if (!isReported) onOccupied(asked);
    isReported = true;
    await sleep(INTERVAL);
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EADDRINUSE";
}

/** Reports whether a file is a unix socket on which nobody listens: a process that was killed leaves it behind. */
async function isLeftBehind(path: string): Promise<boolean> {
  try {
    const before = lstatSync(path);
    if (!before.isSocket() || !await isRefused(path)) return false;
    // Another process may have put a socket of its own in the place meanwhile.
    return lstatSync(path).ino === before.ino;
  } catch {
    return false;
  }
}

function isRefused(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(path);
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
    socket.once("connect", () => {
      resolve(false);
      socket.destroy();
    });
  });
}
