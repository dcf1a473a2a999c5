/** The `sd_notify(3)` messages of workers, for programs that report their readiness in this way. */
import process from "node:process";
import { openLibC } from "../runtime/linux/libc.ts";
import { type Datagram, DatagramReceiver } from "../runtime/linux/datagram_receiver.ts";

/** The number of milliseconds between two reads while the worker starts. */
const STARTING_INTERVAL = 25;
/** The number of milliseconds between two reads once the worker is ready. */
const INTERVAL = 250;
const ROOT = 0;

/**
 * A socket for the messages of one worker. The socket is read for as long as the worker lives, because a program blocks
 * when the queue of the socket is full.
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
   * Opens the socket; `onReady` is called for each `READY=1`. Returns undefined if the C library cannot be called or
   * the kernel refuses.
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

  /** Reads at longer intervals from now on. To be called when the worker is ready. */
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

  /**
   * Returns whether a message is from the worker, its user or root. Every user of the machine can send to the
   * socket, and the kernel reports the sender.
   */
  #isTrusted({ pid, uid }: Datagram): boolean {
    return pid === this.#pid || uid === ROOT || uid === process.getuid?.();
  }
}
