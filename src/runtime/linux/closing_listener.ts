import type { Addr } from "../../core/addr.ts";
import type { ConnInfo } from "../../core/conn.ts";
import { holdPort } from "./held_ports.ts";
import type { KernelSockets } from "./kernel_sockets.ts";
import { WithheldConns } from "./withheld_conns.ts";

/** The least number of ms between two looks at the withheld connections. */
const INTERVAL = 5;

/** The least pause between two looks at the withheld connections, as a multiple of the time that a look takes. */
const SHARE = 4;

/**
 * The listener of a server whose shutdown has begun. A listener from which the kernel withholds connections stays
 * until these have been accepted, and refuses all others.
 */
export class ClosingListener {
  readonly #kernel: KernelSockets;
  readonly #addr: Addr;
  readonly #close: () => boolean;
  readonly #emptyQueue: (force: AbortSignal) => Promise<void>;
  /** Lets handshakes in again that the kernel ignores; undefined if the kernel ignores none. */
  readonly #letIn: (() => void) | undefined;
  /** The connections that the kernel withholds; undefined if it withholds none. */
  #withheld: WithheldConns | undefined;
  #stays = false;
  readonly #gone = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #release = (): void => {};

  /**
   * From this call on the kernel ignores new handshakes: a connection that came between the last look at the
   * accept queue and the close would be reset, while a client whose first segment is ignored sends it again and
   * is then refused. If the kernel withholds connections, the listener stays, and the kernel refuses new handshakes
   * instead. With `isHandedOn` handshakes go on, because another process accepts on the socket too.
   *
   * With `mayWithhold` the kernel may withhold connections, but no further ones. `close` closes the listener, and
   * returns whether that worked. `emptyQueue` resolves in the turn in which the accept queue has been emptied.
   */
  constructor(
    { kernel, fd, addr, isHandedOn, mayWithhold, close, emptyQueue }: {
      kernel: KernelSockets;
      fd: number;
      addr: Addr;
      isHandedOn: boolean;
      mayWithhold: boolean;
      close: () => boolean;
      emptyQueue: (force: AbortSignal) => Promise<void>;
    },
  ) {
    this.#kernel = kernel;
    this.#addr = addr;
    this.#close = close;
    this.#emptyQueue = emptyQueue;
    if (!isHandedOn) this.#letIn = kernel.holdBackHandshakes(fd);
    this.#withheld = mayWithhold ? this.#findWithheld() : undefined;
    if (this.#withheld !== undefined) kernel.refuseHandshakes(fd);
  }

  /** The connections that the kernel withheld at the last look. */
  get withheld(): ConnInfo[] {
    return this.#withheld?.left ?? [];
  }

  /** Whether the listener stays, until the withheld connections have been accepted. */
  get stays(): boolean {
    return this.#stays;
  }

  #findWithheld(): WithheldConns | undefined {
    const addr = this.#addr;
    if (addr.transport === "unix") return undefined;
    const found = new WithheldConns({
      all: () => this.#kernel.handshakesAt(addr),
      again: (handshakes) => this.#kernel.lookAgain(addr, handshakes),
    });
    return found.isEmpty ? undefined : found;
  }

  /**
   * Lets the listener stay if the kernel withholds connections. Returns whether it stays, and then calls `then` in
   * the turn in which the last of these connections has been accepted.
   */
  stayForWithheld(then: () => void): boolean {
    const withheld = this.#withheld;
    if (this.#addr.transport === "unix" || withheld === undefined) return false;
    this.#release = holdPort(this.#addr.port);
    this.#stays = true;
    const look = () => {
      const start = performance.now();
      withheld.look();
      if (withheld.isEmpty) return this.#emptyQueue(this.#gone.signal).then(end);
      this.#timer = setTimeout(look, Math.max(INTERVAL, SHARE * (performance.now() - start)));
    };
    const end = () => {
      if (this.#stays) then();
    };
    look();
    return true;
  }

  /** Closes the listener without its owner's knowledge. Returns whether that succeeded. */
  close(): boolean {
    const isClosed = this.#close();
    if (!isClosed) this.#letIn?.();
    clearTimeout(this.#timer);
    this.#gone.abort();
    this.#stays = false;
    this.#withheld = undefined;
    this.#release();
    return isClosed;
  }
}
