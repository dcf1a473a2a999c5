import { checkMilliseconds, checkSignal } from "./checks.ts";
import { checkHijacked, type WebSocketClosing } from "./hijacked.ts";
import { SHUTDOWN_REPLACEMENTS } from "./foreign_names.ts";
import { checkNames, type OptionNames } from "./names.ts";

/** Options of `server.shutdown()`. */
export interface ShutdownOptions {
  /** A signal that ends the wait of this call when it aborts. The drain goes on. */
  signal?: AbortSignal;
  /**
   * The number of milliseconds after which the shutdown stops waiting, 0 to 2 147 483 647. There is no
   * default: without `timeout` and `signal` the shutdown waits for as long as it takes.
   */
  timeout?: number;
  /**
   * The number of milliseconds between two checks for idle connections, 1 to 2 147 483 647. The default is
   * Go's: 1 ms at first, twice as long each time, 500 ms at most, with up to 10 % of random jitter. A
   * connection that becomes idle between two checks is noticed at once.
   */
  pollInterval?: number;
  /**
   * The number of milliseconds, from the start of the shutdown, for which idle connections are left open, 0
   * to 2 147 483 647. A request that is already on the wire then does not find its connection closed. Such
   * a request is answered with `Connection: close`.
   *
   * @default {0}
   */
  idleGrace?: number;
  /**
   * Whether to wait for hijacked connections (WebSockets, CONNECT tunnels, upgraded connections), and how
   * to close WebSockets. Go ignores such connections. WebSockets are always sent a close frame when the
   * functions of `onShutdown` have settled. An object sets the content of this frame, and implies
   * `"wait"`. Only the option of the call that starts the drain counts.
   *
   * @default {"wait"}
   */
  hijacked?: "wait" | "ignore" | WebSocketClosing;
}

const NAMES: OptionNames<ShutdownOptions> = {
  signal: true,
  timeout: true,
  pollInterval: true,
  idleGrace: true,
  hijacked: true,
};

/** Throws for options of a shutdown that have the wrong type or are out of range. */
export function checkShutdown(options: ShutdownOptions): void {
  checkNames("shut down", options, NAMES, SHUTDOWN_REPLACEMENTS);
  const as = (name: string) => `shut down as '${name}'`;
  checkSignal(as("signal"), options.signal);
  checkMilliseconds(as("timeout"), options.timeout, 0);
  checkMilliseconds(as("pollInterval"), options.pollInterval, 1);
  checkMilliseconds(as("idleGrace"), options.idleGrace, 0);
  checkHijacked(as, options.hijacked);
}
