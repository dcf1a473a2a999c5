/**
 * Replaces the socket that a runtime listens on, below the runtime, which goes on with the same descriptor:
 * a runtime cannot be told to listen on an inherited socket, nor to close its listener and nothing else.
 */
import { epollsOf, register, registrationsOf, unregister } from "./epoll.ts";
import { AF_UNIX, O_CLOEXEC, O_NONBLOCK, SOCK_STREAM } from "./headers.ts";
import type { LibC } from "./libc.ts";
import { unixName } from "./sockaddr.ts";

/**
 * Puts a listening socket, which is nonblocking, in the place of a listener of the runtime, and closes its
 * other number `fd`. The runtime accepts on the new socket from now on. Returns false if the kernel refuses.
 */
export function replaceListener(libc: LibC, fd: number, listener: number): boolean {
  const registrations = registrationsOf(libc, listener);
  if (libc.dup3(fd, listener, O_CLOEXEC) !== listener) return false;
  libc.close(fd);
  return register(libc, listener, registrations);
}

/**
 * Prepares to close a listener of the runtime without the runtime's notice, and returns the function that
 * does it. The slow part is done before: a connection that comes between the last look at the accept queue
 * and the close is reset. `epolls` are the instances of `epoll` that may watch the listener.
 *
 * The listener's number goes to a socket that nobody connects to, since the runtime may be about to accept. The
 * function must be called once. Its argument, by default true, tells whether the listener is still open.
 */
export function closingUnnoticed(
  libc: LibC,
  listener: number,
  epolls: readonly number[] = epollsOf(libc),
): (isOpen?: boolean) => boolean {
  const deserted = listenForNobody(libc);
  return (isOpen = true) => {
    if (deserted < 0) return false;
    if (isOpen) unregister(libc, listener, epolls);
    const isDone = isOpen && libc.dup3(deserted, listener, O_CLOEXEC) === listener;
    libc.close(deserted);
    return isDone;
  };
}

/** Returns a socket that listens at an address which the kernel makes up, without a file. */
function listenForNobody(libc: LibC): number {
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  const name = unixName(new Uint8Array());
  if (libc.bind(fd, name, name.length) === 0 && libc.listen(fd, 1) === 0) return fd;
  libc.close(fd);
  return -1;
}
