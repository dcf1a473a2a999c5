/** The service manager that has started this process: systemd, or another manager that uses its protocol. */
import { readVariable } from "../runtime/host/variables.ts";
import { type LibC, openLibC } from "../runtime/linux/libc.ts";
import { monotonicMicroseconds } from "../runtime/linux/monotonic_clock.ts";
import { runSystemdNotify } from "./notify_program.ts";
import { sendDatagram } from "../runtime/linux/unix_datagram.ts";

/** Returns the service manager that listens for this process, or undefined if there is none. */
export function serviceManager(): ServiceManager | undefined {
  const address = readVariable("NOTIFY_SOCKET");
  if (address === undefined || address === "") return undefined;
  return new ServiceManager(address, openLibC());
}

/**
 * A service manager. Messages are sent with the C library or, where this runtime cannot call it, by
 * `systemd-notify`.
 */
export class ServiceManager {
  readonly #address: string;
  readonly #libc: LibC | undefined;

  constructor(address: string, libc: LibC | undefined) {
    this.#address = address;
    this.#libc = libc;
  }

  /** Returns the time in microseconds on the manager's clock, CLOCK_MONOTONIC. */
  now(): number {
    return monotonicMicroseconds(this.#libc);
  }

  /**
   * Sends the lines as one message. Rejects if the message cannot be delivered. With `keepsAlive` this process does not
   * end by itself before that.
   */
  async send(lines: readonly string[], keepsAlive: boolean): Promise<void> {
    if (this.#libc === undefined) await runSystemdNotify(lines, keepsAlive);
    else await sendDatagram(this.#libc, this.#address, lines.join("\n"), keepsAlive);
  }
}
