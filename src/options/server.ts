import type { Addr } from "../core/addr.ts";
import type { ConnInfo, ConnState } from "../core/conn.ts";
import type { DrainNotice } from "../core/drain_notice.ts";
import { checkSignal, checkType, refuse } from "./checks.ts";
import { checkAddress, listenAddress, type Listener } from "./listen.ts";
import type { OptionNames } from "./names.ts";

/** The options that {@linkcode serve} and {@linkcode serveTcp} have in common. */
export interface ServerOptions {
  /**
   * The TCP port, 0 to 65535. With 0 the system chooses a free port: see `server.addr`.
   *
   * @default {8000}
   */
  port?: number;
  /**
   * The address to listen on, or a name that resolves to it. `"[::1]"` means `"::1"`. `"0.0.0.0"` means every IPv4
   * address of the machine, and `"::"` every address of both families.
   *
   * @default {"0.0.0.0"}
   */
  hostname?: string;
  /**
   * The path of a unix socket to listen on instead of TCP. There must be no file at the path. The file of
   * the socket is removed when the listener closes. Deno asks for `--allow-read` and `--allow-write` of the
   * path.
   */
  path?: string;
  /** The number of connections that may wait in the accept queue. The default is the runtime's. */
  backlog?: number;
  /**
   * Whether to set SO_REUSEPORT, so that several processes can listen on one port. Deno asks for
   * `--unstable-net`.
   *
   * @default {false}
   */
  reusePort?: boolean;
  /**
   * How a successor takes over the listener. With `"inherit"` the successor gets the descriptor, so that
   * both processes have one accept queue. With `"reuseport"` both processes bind with SO_REUSEPORT, and the
   * kernel sends every new connection to the newer process. Where that is impossible (on Node, and for unix
   * sockets), the descriptor is passed instead, with a warning. `"auto"` means `"inherit"`.
   *
   * Without this option, no successor can take over the listener. An inherited listener is taken over even
   * without this option.
   *
   * @throws {UpgradeError} From `serve`, on Deno without `--allow-ffi`, and on Deno and Bun on a system
   * other than Linux.
   */
  handoff?: "auto" | "inherit" | "reuseport";
  /**
   * The name of a socket that systemd may have passed (`FileDescriptorName=` of its unit). The socket is
   * taken over whatever its address is. If systemd has passed no socket of that name, the other options say
   * where to listen.
   */
  socketName?: string;
  /** A listener that {@linkcode listen} returned, to accept on instead of `port`, `hostname` or `path`. */
  listener?: Listener;
  /**
   * A signal that, when it aborts, closes the server at once with all its connections, as in `Deno.serve`.
   * The report of a shutdown then has the reason `"closed"`, and `forced` counts the connections that were cut off.
   * If the signal aborts before the server listens, the call rejects with the reason of the signal.
   */
  signal?: AbortSignal;
  /** A function that is called with the address when the server listens. */
  onListen?: (addr: Addr) => void;
  /**
   * A function that is called when a connection enters a state, like Go's `Server.ConnState`. The engine
   * `"bun"` does not show its connections: with this option, `"auto"` chooses `"node"` on Bun.
   */
  onConnState?: (state: ConnState, conn: ConnInfo) => void;
}

/** The settings that every driver gets from checked {@linkcode ServerOptions}. */
export interface ServerSettings {
  /** The address that was asked for: the port may be 0, and the host a name. */
  readonly listen: Addr;
  /**
   * The address of the socket that the driver will be given through `acceptOn`. Undefined if the driver
   * opens its own listening socket.
   */
  readonly socket: Addr | undefined;
  readonly backlog: number | undefined;
  readonly reusePort: boolean;
  readonly drainNotice: DrainNotice;
}

/** The names of {@linkcode ServerOptions}. */
export const SERVER_NAMES: OptionNames<ServerOptions> = {
  port: true,
  hostname: true,
  path: true,
  backlog: true,
  reusePort: true,
  handoff: true,
  socketName: true,
  listener: true,
  signal: true,
  onListen: true,
  onConnState: true,
};

const HANDOFFS: readonly string[] = ["auto", "inherit", "reuseport"];

/** The options that must be absent where a listener is given. */
const SETTLED_BY_LISTENER = [
  "port",
  "hostname",
  "path",
  "socketName",
  "reusePort",
  "backlog",
  "handoff",
] as const;

/**
 * Throws unless the options of a server have the right types, are in range and do not contradict each
 * other.
 */
export function checkServer(as: (name: string) => string, options: ServerOptions): void {
  checkAddress(as, options);
  checkListener(as, options);
  checkType(as("onListen"), options.onListen, "function");
  checkType(as("onConnState"), options.onConnState, "function");
  checkSignal(as("signal"), options.signal);
}

function checkListener(as: (name: string) => string, options: ServerOptions): void {
  const { listener, handoff } = options;
  if (handoff !== undefined && !HANDOFFS.includes(handoff)) {
    refuse(as("handoff"), `one of ${HANDOFFS.join(", ")}`, handoff);
  }
  if (handoff === "reuseport" && options.reusePort === false) {
    refuse(as("reusePort"), "true or absent where 'handoff' is \"reuseport\"", false);
  }
  if (listener === undefined) return;
  for (const name of SETTLED_BY_LISTENER) {
    if (options[name] === undefined) continue;
    refuse(as(name), "absent where 'listener' is given", options[name]);
  }
}

/** Returns the settings for checked options, with all defaults. `socket` becomes the setting of that name. */
export function serverSettings(
  options: ServerOptions,
  drainNotice: DrainNotice,
  socket: Addr | undefined,
): ServerSettings {
  return {
    listen: listenAddress(options),
    socket,
    backlog: options.backlog,
    reusePort: options.reusePort ?? false,
    drainNotice,
  };
}
