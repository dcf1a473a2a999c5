/** The messages of `sd_notify(3)` that workers send, for programs that say in this way that they are ready. */
import process from "node:process";
import { openLibC } from "../runtime/linux/libc.ts";
import { type Datagram, DatagramReceiver } from "../runtime/linux/datagram_receiver.ts";

/** The number of milliseconds between two looks while the worker starts, and later. */
const STARTING_INTERVAL = 25;
const INTERVAL = 250;
const ROOT = 0;

/**
 * A socket for the messages of one worker. It is read for as long as the worker lives: a program waits when the queue of
 * the socket is full.
 */
export class Notifications {
  /** The value of `NOTIFY_SOCKET` for the worker. */
  readonly address: string;
  readonly #receiver: DatagramReceiver;
  readonly #onReady: () => void;
  #pid: number | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  private constructor(receiver: DatagramReceiver, onReady: () => void) {
    this.#receiver = receiver;
    this.#onReady = onReady;
    this.address = receiver.address;
  }

  /**
   * Opens the socket; `onReady` is called for each `READY=1`. Returns undefined where the C library, or the kernel's
   * unix sockets, are out of reach.
   */
  static open(onReady: () => void): Notifications | undefined {
    const libc = openLibC();
    const receiver = libc && DatagramReceiver.open(libc);
    return receiver && new Notifications(receiver, onReady);
  }

  /** Starts to read the messages of the worker with this process id. */
  start(pid: number | undefined): void {
    this.#pid = pid;
    this.#every(STARTING_INTERVAL);
  }

  /** Reads at longer intervals, once the worker is ready. */
  slowDown(): void {
    this.#every(INTERVAL);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#receiver.close();
  }

  #every(interval: number): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#read(), interval);
  }

  #read(): void {
    for (const datagram of this.#receiver.received()) {
      if (!this.#isTrusted(datagram)) continue;
      if (datagram.text.split("\n").includes("READY=1")) this.#onReady();
    }
  }

  /** Every user of the machine can send to the socket: the kernel tells who has. */
  #isTrusted({ pid, uid }: Datagram): boolean {
    return pid === this.#pid || uid === ROOT || uid === process.getuid?.();
  }
}
