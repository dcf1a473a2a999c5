/**
 * What an event loop waits for, on Linux: the registrations of a descriptor with `epoll`, which
 * the runtimes make when they listen and keep to themselves.
 */
import process from "node:process";
import type { LibC } from "./libc.ts";
import { descriptors, linesOf } from "./proc_files.ts";
import { isSocket } from "./socket_options.ts";

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;

/** A descriptor that an instance of `epoll` watches. */
export interface Registration {
  readonly epoll: number;
  /** A `struct epoll_event`: what is waited for, and what its owner knows it by. */
  readonly event: Uint8Array;
}

/** Returns the registrations of a descriptor. */
export function registrationsOf(libc: LibC, fd: number): Registration[] {
  return descriptors(libc).flatMap((epoll) => {
    // Most descriptors of a busy server are sockets, and to read of each costs more than to ask.
    if (isSocket(libc, epoll)) return [];
    for (const line of linesOf(libc, `/proc/self/fdinfo/${epoll}`)) {
      const found = /^tfd: +(\d+) events: +([0-9a-f]+) data: +([0-9a-f]+)/.exec(line);
      if (found === null || Number(found[1]) !== fd) continue;
      return [{ epoll, event: epollEvent(parseInt(found[2]!, 16), BigInt(`0x${found[3]}`)) }];
    }
    return [];
  });
}

/**
 * Registers the descriptor. Two descriptors may be one instance of `epoll`, where the second call
 * finds it done, so one that succeeds is enough.
 */
export function register(libc: LibC, fd: number, registrations: readonly Registration[]): boolean {
  const added = registrations.map(({ epoll, event }) =>
    libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event)
  );
  return added.includes(0);
}

/**
 * Has the event loops forget the descriptor: closing it does not do so while another process has the
 * socket.
 */
export function unregister(
  libc: LibC,
  fd: number,
  registrations: readonly Registration[],
): void {
  for (const { epoll, event } of registrations) libc.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, event);
}

/** The structure is packed on x86 alone. */
function epollEvent(events: number, data: bigint): Uint8Array {
  const isPacked = process.arch === "x64" || process.arch === "ia32";
  const event = new DataView(new ArrayBuffer(16));
  event.setUint32(0, events, true);
  event.setBigUint64(isPacked ? 4 : 8, data, true);
  return new Uint8Array(event.buffer);
}
