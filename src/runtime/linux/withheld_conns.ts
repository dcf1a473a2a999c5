/**
 * The connections that Linux withholds from a listener with the option TCP_DEFER_ACCEPT, which Bun sets on its
 * listeners: for up to a second, the kernel ignores the end of a handshake that brings no data. The client
 * believes that it is connected, and a close of the listener would reset the connection.
 *
 * The kernel repeats its part of such a handshake a second after the first segment. The answer to that, or the
 * first data of the client, ends the handshake, and the connection enters the accept queue.
 */
import type { ConnInfo } from "../../core/conn.ts";
import type { Handshake } from "./socket_diagnosis.ts";

/**
 * The number of ms in which a client answers the kernel. A client that has not answered by then is gone, or has
 * never had a connection.
 */
const ANSWER = 500;

/**
 * The number of ms for which a connection may be withheld: the kernel repeats its part of the handshake, and the
 * client has answered.
 */
export const LONGEST_WITHHELD: number = 1_000 + ANSWER;

/** The connections that the kernel withholds from a listener at one moment. */
export class WithheldConns {
  readonly #lookAgain: (handshakes: readonly Handshake[]) => readonly Handshake[];
  readonly #end = performance.now() + LONGEST_WITHHELD;
  #left: readonly Handshake[];

  /** `lookAgain` returns those of the handshakes that have not ended, as they are now. */
  constructor(
    handshakes: readonly Handshake[],
    lookAgain: (handshakes: readonly Handshake[]) => readonly Handshake[],
  ) {
    this.#lookAgain = lookAgain;
    this.#left = handshakes.filter(mayEnd);
  }

  /** The connections that were withheld at the last look. */
  get left(): ConnInfo[] {
    return withheldConns(this.#left);
  }

  /** Whether no connection was withheld at the last look. */
  get isEmpty(): boolean {
    return this.#left.length === 0;
  }

  /** Finds out which of the connections are still withheld. */
  look(): void {
    const isOver = performance.now() >= this.#end;
    this.#left = isOver ? [] : this.#lookAgain(this.#left).filter(mayEnd);
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
