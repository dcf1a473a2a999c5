/**
 * Makes a listening TCP socket refuse new handshakes but finish the handshakes that have begun, by binding the
 * socket to a network interface that does not exist. The kernel then finds no listener for the first segment of
 * a handshake, and answers as if the port were closed. For handshakes that have begun the kernel does not look
 * for a listener.
 *
 * Linux 5.7 and later lets every process bind a socket to an interface, but not release the socket again.
 */
import { AF_INET, SO_BINDTOIFINDEX, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET } from "./headers.ts";
import type { LibC } from "./libc.ts";
import { setIntOption } from "./socket_options.ts";

/** The largest number that an interface could have. The kernel counts from 1. */
const NO_INTERFACE = 0x7fffffff;

/** Makes a listening socket refuse new handshakes permanently. Returns false if the kernel refuses. */
export function refuseHandshakes(libc: LibC, fd: number): boolean {
  return setIntOption(libc, fd, SOL_SOCKET, SO_BINDTOIFINDEX, NO_INTERFACE);
}

/** Returns whether {@linkcode refuseHandshakes} works on this system, which is tried with a new socket. */
export function canRefuseHandshakes(libc: LibC): boolean {
  const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const isDone = refuseHandshakes(libc, fd);
  libc.close(fd);
  return isDone;
}
