/**
 * The connections that Linux withholds from a listener with the option TCP_DEFER_ACCEPT, which Bun sets on its
 * listeners: for up to a second, the kernel ignores the end of a handshake that brings no data. The client
 * believes that it is connected, and a close of the listener would reset the connection.
 *
 * The kernel repeats its part of such a handshake a second after the first segment. The client's answer to
 * that, or its first data, finishes the handshake, and the connection enters the accept queue.
 */
import type { ConnInfo } from "../../core/conn.ts";
import type { Handshake } from "./socket_diagnosis.ts";

/**
 * The number of ms within which a client answers the kernel. A client that has not answered by then is gone, or
 * never had a connection.
 */
const ANSWER = 500;

/**
 * The number of ms for which a connection may be withheld: the kernel repeats its part of the handshake, and the
 * client has answered.
 */
export const LONGEST_WITHHELD: number = 1_000 + ANSWER;

/** The functions that ask the kernel for handshakes. Both return undefined if the kernel does not report them. */
export interface Handshakes {
  all(): readonly Handshake[] | undefined;
  /** Returns the current state of those handshakes that are still unfinished. */
  again(handshakes: readonly Handshake[]): readonly Handshake[] | undefined;
}

/** The connections that the kernel withholds from a listener at one moment. */
export class WithheldConns {
  readonly #handshakes: Handshakes;
  readonly #end = performance.now() + LONGEST_WITHHELD;
  /** The handshakes that were unfinished at the last check; undefined if the kernel has never reported them. */
  #left: readonly Handshake[] | undefined;

  constructor(handshakes: Handshakes) {
    this.#handshakes = handshakes;
    this.#left = handshakes.all()?.filter(mayEnd);
  }

  /** The connections that were withheld at the last check. */
  get left(): ConnInfo[] {
    return withheldConns(this.#left ?? []);
  }

  /**
   * Whether no connection was withheld at the last check. If the kernel does not report handshakes, whether
   * enough time has passed.
   */
  get isEmpty(): boolean {
    return this.#left === undefined ? performance.now() >= this.#end : this.#left.length === 0;
  }

  /** Finds out which of the connections are still withheld. */
  look(): void {
    this.#left = (this.#left && this.#handshakes.again(this.#left))?.filter(mayEnd);
  }
}

/** Returns the connections among the handshakes with a listener that withholds connections. */
export function withheldConns(handshakes: readonly Handshake[]): ConnInfo[] {
  return handshakes
    .filter(({ repeats }) => repeats === 0)
    .map(({ client, age }) => ({ state: "new", age, remoteAddr: client }));
}

/** Returns whether the client of a handshake may still end it. */
function mayEnd({ repeats, age }: Handshake): boolean {
  return repeats === 0 || age < ANSWER;
}
