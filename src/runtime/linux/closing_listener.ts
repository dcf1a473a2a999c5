import type { Addr } from "../../core/addr.ts";
import type { ConnInfo } from "../../core/conn.ts";
import { holdPort } from "./held_ports.ts";
import type { KernelSockets } from "./kernel_sockets.ts";
import { WithheldConns } from "./withheld_conns.ts";

/** The least number of ms between two checks of the withheld connections. */
const INTERVAL = 5;

/** The least pause between two checks of the withheld connections, as a multiple of the time that a check takes. */
const SHARE = 4;

/** The least number for another descriptor of a listener. The numbers below belong to the standard streams. */
const LEAST_NUMBER = 3;

/**
 * The listener of a server whose shutdown has begun. It refuses new clients. If the kernel withholds connections
 * from the listener, the listener stays open until they have been accepted.
 */
export class ClosingListener {
  /** Whether new clients are refused already, and not only when the listener closes. */
  readonly refuses: boolean = false;
  readonly #kernel: KernelSockets;
  readonly #fd: number;
  readonly #addr: Addr;
  readonly #close: () => boolean;
  readonly #emptyQueue: (force: AbortSignal) => Promise<void>;
  /** The function that makes the kernel accept new handshakes again; undefined if the kernel does not ignore them. */
  readonly #letIn: (() => void) | undefined;
  /** The connections that the kernel withholds; undefined if it withholds none. */
  #withheld: WithheldConns | undefined;
  #stays = false;
  readonly #gone = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Releases the port; undefined while the listener does not hold the port. */
  #release: (() => void) | undefined;

  /**
   * Creates the closing listener. From now on the kernel refuses new handshakes, because a connection that arrived
   * between the last check of the accept queue and the close would be reset. If the kernel cannot refuse
   * handshakes, or other listeners share the port (SO_REUSEPORT), the kernel ignores new handshakes instead, and
   * their clients try again a second later. Nothing is refused or ignored if the kernel moves the accept queue to
   * another listener of the port, or with `isShared`, because another process accepts on the socket too.
   *
   * `mayWithhold` says that the kernel may still withhold connections, although it withholds no new ones. Handshakes
   * that take a round trip to finish are treated like withheld connections. `close`
   * closes the listener, and returns whether that worked. `emptyQueue` resolves in the turn in which the accept
   * queue has been emptied.
   */
  constructor(
    { kernel, fd, addr, isShared, mayWithhold, close, emptyQueue }: {
      kernel: KernelSockets;
      fd: number;
      addr: Addr;
      isShared: boolean;
      mayWithhold: boolean;
      close: () => boolean;
      emptyQueue: (force: AbortSignal) => Promise<void>;
    },
  ) {
    this.#kernel = kernel;
    this.#fd = fd;
    this.#addr = addr;
    this.#close = close;
    this.#emptyQueue = emptyQueue;
    if (!isShared && !kernel.migratesQueue(fd)) {
      // A unix socket has no handshakes.
      this.refuses = addr.transport === "tcp" && kernel.refuseHandshakes(fd);
      this.#letIn = kernel.holdBackHandshakes(fd);
      this.#withheld = this.#findWithheld(mayWithhold);
    }
  }

  /** The connections that the kernel withheld at the last check. */
  get withheld(): ConnInfo[] {
    return this.#withheld?.left ?? [];
  }

  /** Whether the listener stays, until the withheld connections have been accepted. */
  get stays(): boolean {
    return this.#stays;
  }

  #findWithheld(mayWithhold: boolean): WithheldConns | undefined {
    const addr = this.#addr;
    if (addr.transport === "unix") return undefined;
    const begun = this.#kernel.handshakesAt(addr);
    if (begun === undefined && !mayWithhold) return undefined;
    const found = new WithheldConns({
      all: () => begun,
      again: (handshakes) => this.#kernel.lookAgain(addr, handshakes),
    });
    return found.isEmpty ? undefined : found;
  }

  /**
   * Keeps the listener open if the kernel withholds connections. Returns whether the listener stays open. If so,
   * calls `then` in the turn in which the last of these connections has been accepted.
   */
  stayForWithheld(then: () => void): boolean {
    const withheld = this.#withheld;
    if (withheld === undefined) return false;
    this.#holdPort();
    this.#stays = true;
    this.#whenShown(withheld, async () => {
      await this.#emptyQueue(this.#gone.signal);
      if (this.#stays) then();
    });
    return true;
  }

  #holdPort(): void {
    if (this.#addr.transport === "tcp") this.#release ??= holdPort(this.#addr.port);
  }

  /** Calls `then` when the kernel has shown the last of the withheld connections. */
  #whenShown(withheld: WithheldConns, then: () => void): void {
    const look = () => {
      const start = performance.now();
      withheld.look();
      if (withheld.isEmpty) return then();
      this.#timer = setTimeout(look, Math.max(INTERVAL, SHARE * (performance.now() - start)));
    };
    look();
  }

  /** Closes the listener without its owner's knowledge, once. Returns whether that succeeded. */
  close(): boolean {
    if (this.#gone.signal.aborted) return false;
    const isClosed = this.#close();
    if (!isClosed) this.#letIn?.();
    clearTimeout(this.#timer);
    this.#gone.abort();
    this.#stays = false;
    this.#withheld = undefined;
    this.#release?.();
    this.#release = undefined;
    return isClosed;
  }

  /**
   * Closes the listener without its owner's knowledge, and resolves when the clients of withheld connections have been
   * reset, after about a second at most. When a listener closes, the kernel resets the connections that were not
   * accepted, but not the connections that it withholds.
   */
  async closeByForce(): Promise<void> {
    const withheld = this.#withheld;
    if (withheld === undefined) return void this.close();
    this.#holdPort();
    const release = this.#release;
    this.#release = undefined;
    // The socket stays open as long as it has a descriptor.
    const socket = this.#kernel.duplicate(this.#fd, LEAST_NUMBER);
    this.close();
    await new Promise<void>((resolve) => this.#whenShown(withheld, resolve));
    this.#kernel.close(socket);
    release?.();
  }
}
