/** The wait for an address that a supervisor before still has, or has left the file of its unix socket at. */
import { lstatSync, rmSync } from "node:fs";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Addr } from "../core/addr.ts";

/**
 * The number of milliseconds for which an address may be in use: the workers of a supervisor that was killed close
 * their listeners within this time.
 */
const OCCUPIED = 2_000;
/** The number of milliseconds between two attempts to listen. */
const INTERVAL = 20;

/**
 * Returns what `open` returns, which listens at the address. Waits for a moment while the address is in use, after a
 * call of `onOccupied`, and removes the file of a unix socket on which nobody listens.
 *
 * @throws {Error} What `open` has thrown last.
 */
export async function whenFree<T>(
  addr: Addr,
  open: () => Promise<T>,
  onOccupied: (addr: Addr) => void,
): Promise<T> {
  const end = performance.now() + OCCUPIED;
  let isReported = false;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!isInUse(error) || performance.now() >= end) throw error;
      if (addr.transport === "unix" && await isLeftBehind(addr.path)) {
        rmSync(addr.path, { force: true });
        continue;
      }
    }
    if (!isReported) onOccupied(addr);
    isReported = true;
    await sleep(INTERVAL);
  }
}

/**
 * Returns what tells a file from a later one at the same path; undefined if there is none. The kernel gives the number
 * of a file that was removed to the next one, and changes of the mode leave the time of the content as it is.
 */
export function idOfFile(path: string): string | undefined {
  try {
    const { ino, mtimeMs } = lstatSync(path);
    return `${ino} ${mtimeMs}`;
  } catch {
    return undefined;
  }
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EADDRINUSE";
}

/** Reports whether a file is a unix socket on which nobody listens: a process that was killed leaves it behind. */
async function isLeftBehind(path: string): Promise<boolean> {
  try {
    const before = idOfFile(path);
    if (!lstatSync(path).isSocket() || !await isRefused(path)) return false;
    // Another process may have put a socket of its own in the place meanwhile.
    return idOfFile(path) === before;
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
