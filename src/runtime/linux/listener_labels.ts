/**
 * A label of a TCP listener is a number that each connection inherits from the listener that accepted it,
 * so that the connections of several listeners at the same address can be distinguished. The number is
 * the TCP_KEEPIDLE of the listener, some seconds more than the two hours of the system: the option means
 * nothing as long as SO_KEEPALIVE is off.
 */
import {
  AF_INET,
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_KEEPIDLE,
} from "./headers.ts";
import type { LibC } from "./libc.ts";
import { intOption, setIntOption } from "./socket_options.ts";

const MAX_TCP_KEEPIDLE = 32767;

/** The labels of the listeners and connections of a process. */
export class ListenerLabels {
  readonly #libc: LibC;
  #unlabeled: number | undefined;

  constructor(libc: LibC) {
    this.#libc = libc;
  }

  /**
   * Gives a listener a label, unless the listener has one. Returns the label, or undefined if the listener
   * cannot have one: it is a unix socket, or SO_KEEPALIVE is on.
   */
  label(listener: number): number | undefined {
    if (intOption(this.#libc, listener, SOL_SOCKET, SO_KEEPALIVE) !== 0) return undefined;
    return this.labelOf(listener) ?? this.relabel(listener);
  }

  /** Gives a listener another label. Returns the label, or undefined if the listener cannot have one. */
  relabel(listener: number): number | undefined {
    if (intOption(this.#libc, listener, SOL_SOCKET, SO_KEEPALIVE) !== 0) return undefined;
    const least = this.#keepIdle() + 1;
    if (least > MAX_TCP_KEEPIDLE) return undefined;
    const chosen = least + Math.floor(Math.random() * (MAX_TCP_KEEPIDLE - least + 1));
    setIntOption(this.#libc, listener, IPPROTO_TCP, TCP_KEEPIDLE, chosen);
    return this.labelOf(listener);
  }

  /** Returns the label of a listener or of a connection, or undefined if it has none. */
  labelOf(fd: number): number | undefined {
    const value = intOption(this.#libc, fd, IPPROTO_TCP, TCP_KEEPIDLE);
    return value === this.#keepIdle() ? undefined : value;
  }

  /** Returns the value of the option on a TCP socket that nobody has labeled. */
  #keepIdle(): number {
    if (this.#unlabeled === undefined) {
      const fd = this.#libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      this.#unlabeled = intOption(this.#libc, fd, IPPROTO_TCP, TCP_KEEPIDLE) ?? MAX_TCP_KEEPIDLE;
      this.#libc.close(fd);
    }
    return this.#unlabeled;
  }
}
