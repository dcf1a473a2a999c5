/**
 * The registrations of descriptors with `epoll`, with which the event loop of a runtime waits for events on
 * Linux. A runtime makes the registrations when it listens, and does not expose them.
 */
import process from "node:process";
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL } from "./headers.ts";
import type { LibC } from "./libc.ts";
import { descriptors, linesOf, targetOf } from "./proc_files.ts";
import { isSocket } from "./socket_options.ts";

/** The size in bytes of a `struct epoll_event` where it is not packed. */
const EVENT_SIZE = 16;

/** The registration of a descriptor with an instance of `epoll`. */
export interface Registration {
  /** The descriptor of the `epoll` instance. */
  readonly epoll: number;
  /**
   * A `struct epoll_event`: the events to wait for, and the data by which the event loop recognizes the
   * descriptor.
   */
  readonly event: Uint8Array;
}

/** Returns the `epoll` instances of this process. */
export function epollsOf(libc: LibC): number[] {
  // Most descriptors of a busy server are sockets, which are faster to recognize.
  return descriptors(libc).filter((fd) =>
    !isSocket(libc, fd) && targetOf(libc, `/proc/self/fd/${fd}`) === "anon_inode:[eventpoll]"
  );
}

/** Returns the registrations of a descriptor with the `epoll` instances of this process. */
export function registrationsOf(libc: LibC, fd: number): Registration[] {
  return epollsOf(libc).flatMap((epoll) => {
    for (const line of linesOf(libc, `/proc/self/fdinfo/${epoll}`)) {
      const found = /^tfd: +(\d+) events: +([0-9a-f]+) data: +([0-9a-f]+)/.exec(line);
      if (found === null || Number(found[1]) !== fd) continue;
      return [{ epoll, event: epollEvent(parseInt(found[2]!, 16), BigInt(`0x${found[3]}`)) }];
    }
    return [];
  });
}

/**
 * Registers a descriptor with each `epoll` instance, and returns whether at least one call succeeded. Two
 * registrations may name the same instance by different descriptors: the second call then fails, because the
 * descriptor is already registered.
 */
export function register(libc: LibC, fd: number, registrations: readonly Registration[]): boolean {
  const added = registrations.map(({ epoll, event }) =>
    libc.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event)
  );
  return added.includes(0);
}

/**
 * Removes a descriptor from `epoll` instances, and does nothing to an instance that does not watch it.
 * Closing the descriptor does not remove it while another process has the same socket.
 */
export function unregister(libc: LibC, fd: number, epolls: readonly number[]): void {
  for (const epoll of epolls) libc.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, new Uint8Array(EVENT_SIZE));
}

/** Returns a `struct epoll_event`. The structure is packed on x86 only. */
function epollEvent(events: number, data: bigint): Uint8Array {
  const isPacked = process.arch === "x64" || process.arch === "ia32";
  const event = new DataView(new ArrayBuffer(EVENT_SIZE));
  event.setUint32(0, events, true);
  event.setBigUint64(isPacked ? 4 : 8, data, true);
  return new Uint8Array(event.buffer);
}
