/**
 * Replaces the socket of a runtime's listener without the runtime noticing, under the same descriptor. This
 * is needed because the runtime can neither listen on an inherited socket nor close only its listener.
 */
import { epollsOf, register, registrationsOf, unregister } from "./epoll.ts";
import { AF_UNIX, O_CLOEXEC, O_NONBLOCK, SOCK_STREAM } from "./headers.ts";
import type { LibC } from "./libc.ts";
import { unixName } from "./sockaddr.ts";

/**
 * Replaces the socket of a listener of the runtime by the nonblocking listening socket `fd`, and closes the
 * number `fd`. The runtime accepts on the new socket from now on. Returns false if the kernel refuses.
 */
export function replaceListener(libc: LibC, fd: number, listener: number): boolean {
  const registrations = registrationsOf(libc, listener);
  if (libc.dup3(fd, listener, O_CLOEXEC) !== listener) return false;
  libc.close(fd);
  return register(libc, listener, registrations);
}

/**
 * Prepares to close a listener of the runtime without the runtime noticing, and returns the function that
 * closes it. The slow part is done in advance, because a connection that arrives between the last check of
 * the accept queue and the close is reset. `epolls` are the instances of `epoll` that may watch the
 * listener.
 *
 * The listener's descriptor then belongs to a socket that nobody connects to, because the runtime may be about
 * to accept. The function must be called once. Its argument, by default true, says whether the listener is
 * still open.
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

/** Returns a unix socket that listens at an address without a file, which the kernel chooses. */
function listenForNobody(libc: LibC): number {
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  const name = unixName(new Uint8Array());
  if (libc.bind(fd, name, name.length) === 0 && libc.listen(fd, 1) === 0) return fd;
  libc.close(fd);
  return -1;
}
