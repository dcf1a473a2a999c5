/** Receives datagrams on a unix socket with the C library, because no runtime has an API for that. */
import { nodeCrypto } from "../../core/builtins.ts";
import {
  AF_UNIX,
  SO_PASSCRED,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from "./headers.ts";
import type { LibC } from "./libc.ts";
import { unixName } from "./sockaddr.ts";
import { setIntOption } from "./socket_options.ts";

/** The number of bytes of a datagram that are read. A longer datagram is truncated. */
const MAX_SIZE = 4_096;
/** The size in bytes of a `struct msghdr` on a 64-bit system. */
const MESSAGE_SIZE = 56;
/**
 * The size in bytes of a control message with credentials. It leaves no room for descriptors, which the
 * kernel then closes.
 */
const CONTROL_SIZE = 32;

/** A datagram, with the sender as the kernel reports it. */
export interface Datagram {
  readonly text: string;
  readonly pid: number;
  readonly uid: number;
}

/**
 * A unix datagram socket at an address of the abstract namespace, which has no file: nothing is left behind if this
 * process is killed.
 */
export class DatagramReceiver {
  /** The address, as `NOTIFY_SOCKET` has it: `@` stands for the zero byte. */
  readonly address: string = `@graceful-${nodeCrypto().randomUUID()}`;
  readonly #libc: LibC;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(MAX_SIZE);
  readonly #vector = new DataView(new ArrayBuffer(16));
  readonly #control = new DataView(new ArrayBuffer(CONTROL_SIZE));
  readonly #message = new DataView(new ArrayBuffer(MESSAGE_SIZE));

  private constructor(libc: LibC, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
    this.#vector.setBigUint64(0, libc.pointer(this.#buffer), true);
    this.#vector.setBigUint64(8, BigInt(MAX_SIZE), true);
    this.#message.setBigUint64(16, libc.pointer(bytesOf(this.#vector)), true);
    this.#message.setBigUint64(24, 1n, true);
    this.#message.setBigUint64(32, libc.pointer(bytesOf(this.#control)), true);
  }

  /** Opens a receiver. Returns undefined if the kernel refuses. */
  static open(libc: LibC): DatagramReceiver | undefined {
    const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return undefined;
    const receiver = new DatagramReceiver(libc, fd);
    const name = unixName(new TextEncoder().encode(receiver.address.replace("@", "\0")));
    const isOpen = setIntOption(libc, fd, SOL_SOCKET, SO_PASSCRED, 1) &&
      libc.bind(fd, name, name.length) === 0;
    if (isOpen) return receiver;
    receiver.close();
    return undefined;
  }

  /** Yields the datagrams that have arrived. */
  *received(): Generator<Datagram> {
    for (;;) {
      this.#message.setBigUint64(40, BigInt(CONTROL_SIZE), true);
      const size = this.#libc.recvmsg(this.#fd, bytesOf(this.#message), 0);
      if (size < 0) return;
      yield {
        text: new TextDecoder().decode(this.#buffer.subarray(0, size)),
        // A `struct cmsghdr` of 16 bytes comes before the credentials.
        pid: this.#control.getInt32(16, true),
        uid: this.#control.getUint32(20, true),
      };
    }
  }

  close(): void {
    this.#libc.close(this.#fd);
  }
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer);
}
