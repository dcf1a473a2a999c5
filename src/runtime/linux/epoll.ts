/**
 * What an event loop waits for, on Linux: the registrations of a descriptor with `epoll`, which
 * the runtimes make when they listen and keep to themselves.
 */
import process from "node:process";
import type { LibC } from "./libc.ts";
import { descriptors, linesOf, targetOf } from "./proc_files.ts";
import { isSocket } from "./socket_options.ts";

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
/** The size in bytes of a `struct epoll_event` where it is not packed. */
const EVENT_SIZE = 16;

/** A descriptor that an instance of `epoll` watches. */
export interface Registration {
  readonly epoll: number;
  /** A `struct epoll_event`: what is waited for, and what its owner knows it by. */
  readonly event: Uint8Array;
}

/** Returns the instances of `epoll` of the process. */
export function epollsOf(libc: LibC): number[] {
  // Most descriptors of a busy server are sockets, which are faster to recognize.
  return descriptors(libc).filter((fd) =>
    !isSocket(libc, fd) && targetOf(libc, `/proc/self/fd/${fd}`) === "anon_inode:[eventpoll]"
  );
}

/** Returns the registrations of a descriptor. */
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
 * socket. An event loop that does not wait for the descriptor goes on as before.
 */
export function unregister(libc: LibC, fd: number, epolls: readonly number[]): void {
  for (const epoll of epolls) libc.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, new Uint8Array(EVENT_SIZE));
}

/** The structure is packed on x86 alone. */
function epollEvent(events: number, data: bigint): Uint8Array {
  const isPacked = process.arch === "x64" || process.arch === "ia32";
  const event = new DataView(new ArrayBuffer(EVENT_SIZE));
  event.setUint32(0, events, true);
  event.setBigUint64(isPacked ? 4 : 8, data, true);
  return new Uint8Array(event.buffer);
}
