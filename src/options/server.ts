import type { Addr } from "../core/addr.ts";
import type { ConnInfo, ConnState } from "../core/conn.ts";
import type { DrainNotice } from "../core/drain_notice.ts";
import { checkSignal, checkType, refuse } from "./checks.ts";
import { checkAddress, listenAddress, type Listener } from "./listen.ts";

/** Options of every server that this package starts: of {@linkcode serve} and of {@linkcode serveTcp}. */
export interface ServerOptions {
  /**
   * The TCP port, 0 to 65535. With 0 the system chooses a free port: see `server.addr`.
   *
   * @default {8000}
   */
  port?: number;
  /**
   * The address to listen on, or a name that resolves to it.
   *
   * @default {"0.0.0.0"}
   */
  hostname?: string;
  /**
   * The path of a unix socket to listen on instead of TCP. There must be no file at the path; the
   * socket's file is removed when the listener closes. Deno asks for `--allow-read` and `--allow-write`
   * of the path.
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
   * How a successor takes over the listener. With `"inherit"` it gets the descriptor, so that there is one
   * accept queue. With `"reuseport"` both processes bind with SO_REUSEPORT, and the kernel is told to send
   * every new connection to the newer one; where the kernel cannot be told (on Node, and for unix sockets)
   * the descriptor is passed instead, with a warning. `"auto"` is `"inherit"`.
   *
   * Without the option the listener is not handed on. An inherited listener is taken over all the same.
   *
   * @throws {UpgradeError} From `serve`, on Deno without `--allow-ffi`, and on Deno and Bun on another
   * system than Linux.
   */
  handoff?: "auto" | "inherit" | "reuseport";
  /**
   * The name of a socket that systemd may have passed (`FileDescriptorName=` of its unit). The socket is
   * taken over whatever its address is. Where systemd has passed none, the address of the other options
   * counts.
   */
  socketName?: string;
  /** A listener that {@linkcode listen} returned, to accept on instead of `port`, `hostname` or `path`. */
  listener?: Listener;
  /**
   * Closes the server at once with all its connections when it aborts, as in `Deno.serve`. If it has
   * aborted before the server listens, the call rejects with its reason.
   */
  signal?: AbortSignal;
  /** Called with the address when the server listens. */
  onListen?: (addr: Addr) => void;
  /**
   * Called when a connection enters a state, as Go's `Server.ConnState` is. The engine `"bun"` does not
   * show its connections: with this option `"auto"` is `"node"` there.
   */
  onConnState?: (state: ConnState, conn: ConnInfo) => void;
}

/** What every driver needs of checked {@linkcode ServerOptions}. */
export interface ServerSettings {
  /** The address that was asked for: the port may be 0, and the host a name. */
  readonly listen: Addr;
  /**
   * The address of the socket that the driver will be given through `acceptOn`. Undefined if the driver is
   * to listen for itself.
   */
  readonly socket: Addr | undefined;
  readonly backlog: number | undefined;
  readonly reusePort: boolean;
  readonly drainNotice: DrainNotice;
}

const HANDOFFS: readonly string[] = ["auto", "inherit", "reuseport"];

/** The options that `listen` has settled where a listener is given. */
const SETTLED_BY_LISTENER = [
  "port",
  "hostname",
  "path",
  "socketName",
  "reusePort",
  "backlog",
  "handoff",
] as const;

/** Throws unless the options of a server have the right types, are in range and do not contradict. */
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

/** Returns checked options with their defaults. `socket` is {@linkcode ServerSettings.socket}. */
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
