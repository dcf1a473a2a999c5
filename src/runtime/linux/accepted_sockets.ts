/** The sockets that one listener has accepted and that the process still has open, in every state. */
import type { Addr } from "../../core/addr.ts";
import type { LibC } from "./libc.ts";
import type { ListenerLabels } from "./listener_labels.ts";
import { descriptors } from "./proc_files.ts";
import { addrIn, NAME_SIZE } from "./sockaddr.ts";
import { cookieOf } from "./socket_options.ts";

/** A socket that a listener has accepted. */
export interface AcceptedSocket {
  readonly fd: number;
  /** The cookie of the socket: a number that no other socket of the machine has until it is rebooted. */
  readonly cookie: bigint;
}

/** The number of labels that are tried for a listener. */
const ATTEMPTS = 8;

/** Finds the sockets that a listener has accepted by the label that they inherit from it. */
export class AcceptedSockets {
  readonly #libc: LibC;
  readonly #labels: ListenerLabels;
  readonly #label: number;
  readonly #listener: bigint;
  readonly #name = new Uint8Array(NAME_SIZE);
  readonly #size = new Uint32Array(1);
  readonly #sizeBytes = new Uint8Array(this.#size.buffer);

  private constructor(libc: LibC, labels: ListenerLabels, label: number, listener: bigint) {
    this.#libc = libc;
    this.#labels = labels;
    this.#label = label;
    this.#listener = listener;
  }

  /**
   * Returns the sockets that a listener is going to accept. Must be called in the turn in which the listener opens.
   * Returns undefined if the listener cannot get a label that is unique in the process.
   */
  static of(libc: LibC, labels: ListenerLabels, listener: number): AcceptedSockets | undefined {
    const cookie = cookieOf(libc, listener);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const label = labels.relabel(listener);
      if (label === undefined) return undefined;
      const sockets = new AcceptedSockets(libc, labels, label, cookie);
      if (sockets.all().length === 0) return sockets;
    }
    return undefined;
  }

  /** Returns all descriptors of the process, including the descriptors of these sockets. */
  descriptors(): number[] {
    return descriptors(this.#libc);
  }

  /** Returns the sockets that are open. */
  all(): AcceptedSocket[] {
    const found: AcceptedSocket[] = [];
    for (const fd of this.descriptors()) {
      const socket = this.at(fd);
      if (socket !== undefined) found.push(socket);
    }
    return found;
  }

  /** Returns the socket with a descriptor, or undefined if the listener has not accepted it. */
  at(fd: number): AcceptedSocket | undefined {
    if (this.#labels.labelOf(fd) !== this.#label) return undefined;
    const cookie = cookieOf(this.#libc, fd);
    return cookie === this.#listener ? undefined : { fd, cookie };
  }

  /**
   * Returns the address of the client of a socket. Returns undefined if the connection was reset and the runtime has
   * not noticed that yet.
   */
  clientOf({ fd }: AcceptedSocket): Addr | undefined {
    this.#size[0] = NAME_SIZE;
    const status = this.#libc.getpeername(fd, this.#name, this.#sizeBytes);
    return status === 0 ? addrIn(this.#name) : undefined;
  }
}
