/**
 * A listening TCP socket that refuses new handshakes, and finishes the handshakes that have begun: it is bound
 * to a network interface that does not exist. The kernel finds no listener for the first segment of a handshake
 * then, and answers as if the port were closed. The handshakes that have begun are found by themselves.
 *
 * Linux 5.7 and later lets every process bind a socket to an interface, but not release the socket again.
 */
import { AF_INET, SO_BINDTOIFINDEX, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET } from "./headers.ts";
import type { LibC } from "./libc.ts";
import { setIntOption } from "./socket_options.ts";

/** The largest number that an interface could have. The kernel counts from 1. */
const NO_INTERFACE = 0x7fffffff;

/** Makes a listening socket refuse new handshakes from now on, for good. Returns false if the kernel refuses. */
export function refuseHandshakes(libc: LibC, fd: number): boolean {
  return setIntOption(libc, fd, SOL_SOCKET, SO_BINDTOIFINDEX, NO_INTERFACE);
}

/** Returns whether {@linkcode refuseHandshakes} works here: tries it on a socket of its own. */
export function canRefuseHandshakes(libc: LibC): boolean {
  const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const isDone = refuseHandshakes(libc, fd);
  libc.close(fd);
  return isDone;
}
