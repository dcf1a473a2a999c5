/** Sends datagrams to a unix socket with the C library, because no runtime has an API for that. */
import { printable } from "../../core/printable.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from "./headers.ts";
import type { LibC } from "./libc.ts";
import { PATH_SIZE, unixName } from "./sockaddr.ts";

/** The number of ms to wait for a receiver whose queue is full, as long as `systemd-notify` waits. */
const PATIENCE = 5_000;
/** The number of ms between two attempts to send. */
const PAUSE = 10;

/**
 * Sends the text as one datagram to a socket's path, or to `@name` in the abstract namespace. Resolves when the
 * datagram is in the queue of its receiver. With `keepsAlive`, waiting for room in the queue keeps this process
 * alive.
 *
 * @throws {Error} If there is no such socket, or if its queue was full for 5 s.
 */
export async function sendDatagram(
  libc: LibC,
  address: string,
  text: string,
  keepsAlive: boolean,
): Promise<void> {
  const to = socketAddress(address);
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  try {
    if (libc.connect(fd, to, to.length) !== 0) {
      refuse("the address of a unix datagram socket that this process can send to", address);
    }
    if (!await sent(libc, fd, new TextEncoder().encode(text), keepsAlive)) {
      refuse("a socket whose receiver takes the message", address);
    }
  } finally {
    libc.close(fd);
  }
}

/**
 * Sends the bytes, and returns false if the receiver's queue stays full. The call does not block in the
 * kernel, because that would stop the event loop.
 */
async function sent(
  libc: LibC,
  fd: number,
  bytes: Uint8Array,
  keepsAlive: boolean,
): Promise<boolean> {
  for (let waited = 0; libc.send(fd, bytes, bytes.length, 0) < 0; waited += PAUSE) {
    if (waited >= PATIENCE) return false;
    await sleep(PAUSE, undefined, { ref: keepsAlive });
  }
  return true;
}

/** Returns the `struct sockaddr_un` of a path or of `@name`, after a check. */
function socketAddress(address: string): Uint8Array {
  const path = new TextEncoder().encode(address);
  if (!/^[/@]/.test(address) || path.length > PATH_SIZE) {
    refuse(`an absolute path or @name of at most ${PATH_SIZE} bytes`, address);
  }
  if (address.startsWith("@")) path[0] = 0;
  return unixName(path);
}

function refuse(rule: string, address: string): never {
  throw new Error(
    `Cannot notify as 'NOTIFY_SOCKET' must be ${rule}: current value is "${printable(address)}"`,
  );
}
