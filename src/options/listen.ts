import { Buffer } from "node:buffer";
import { dirname, join } from "node:path";
import process from "node:process";
import { checkInteger, checkText, checkType, refuse } from "./checks.ts";
import { checkNames, type OptionNames, type Replacements } from "./names.ts";
import { printableJson } from "../core/printable.ts";
import type { Addr } from "../core/addr.ts";
import { SPARE_NAME_LENGTH } from "../core/spare_path.ts";

/**
 * The number of bytes that the path of a unix socket may have on every runtime. The address structure of
 * the kernel has room for 108 bytes on Linux, and for fewer on other systems. On Windows the path is the
 * name of a pipe.
 */
const MAX_PATH = process.platform === "win32" ? 256 : process.platform === "linux" ? 107 : 103;

/**
 * A listening socket that a server can accept on, and that a successor can take over.
 *
 * @example
 * ```ts
 * import { listen, serve } from "@x/graceful";
 *
 * const listener = await listen({ port: 0, hostname: "127.0.0.1" });
 * const server = await serve(() => new Response("hello"), { listener });
 * console.log(await (await fetch(server.url)).text()); // hello
 * await server.shutdown({ timeout: 15_000 });
 * ```
 */
export interface Listener {
  /** The address of the listener. If port 0 was asked for, the address has the port that the system chose. */
  readonly addr: Addr;
  /**
   * The descriptor of the listening socket, for `listen({ fd })` of a `node:http` or `node:net` server (on
   * Bun, only of a `node:net` server). That server then owns the descriptor and accepts at once: call its
   * `listen` last, when the program is ready to serve. In a Worker of Node this property throws an
   * `UpgradeError`, because there only `serve` can use the listener.
   */
  readonly fd: number;
  /** Whether the listener was inherited, from the predecessor or from systemd. */
  readonly inherited: boolean;
  /**
   * Closes the listener, unless a server of this package accepts on it: such a server closes the listener
   * itself. Do not call this method while a server of another library listens on `fd`. After that server
   * has closed, this method removes the file of a unix socket. The method may be called many times.
   */
  close(): void;
}

/** Options of {@linkcode listen}. */
export interface ListenOptions {
  /**
   * The TCP port, 0 to 65535. With 0 the system chooses a free port: see `listener.addr`.
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
   * The path of a unix socket to listen on instead of TCP. There must be no file at the path. Deno asks for
   * `--allow-read` and `--allow-write` of the path.
   */
  path?: string;
  /**
   * The name of a socket that systemd may have passed (`FileDescriptorName=` of its unit). The socket is
   * taken over whatever its address is. If systemd has passed no socket of that name, the other options say
   * where to listen.
   */
  socketName?: string;
  /** The descriptor of a socket that already listens, to use instead of an address. */
  fd?: number;
  /** Whether to set SO_REUSEPORT. Deno asks for `--unstable-net`. */
  reusePort?: boolean;
  /** The number of connections that may wait in the accept queue. The default is the runtime's. */
  backlog?: number;
}

/** Checks the options that say where to listen, which `listen` and `serve` have in common. */
export function checkAddress(
  as: (name: string) => string,
  options: Pick<
    ListenOptions,
    "port" | "hostname" | "path" | "backlog" | "reusePort" | "socketName"
  >,
): void {
  checkInteger(as("port"), options.port, 0, 65_535);
  checkInteger(as("backlog"), options.backlog, 1, 2_147_483_647);
  for (const name of ["hostname", "path", "socketName"] as const) {
    checkText(as(name), options[name]);
  }
  if (options.path !== undefined) checkPath(as("path"), options.path);
  checkType(as("reusePort"), options.reusePort, "boolean");
  for (const name of ["port", "hostname", "reusePort"] as const) {
    if (options.path !== undefined && options[name] !== undefined) {
      refuse(as(name), "absent where 'path' is given", options[name]);
    }
  }
}

/**
 * Throws a RangeError for a path that does not fit in the address of a unix socket. The kernel or the
 * runtime would cut the path off, and no client could connect to the socket.
 */
function checkPath(what: string, path: string): void {
  const length = Buffer.byteLength(path);
  if (length > MAX_PATH || path.includes("\0")) {
    throw new RangeError(
      `Cannot ${what} must be of at most ${MAX_PATH} bytes, and without a NUL byte: current value is of ` +
        `${length} bytes, ${printableJson(path)}`,
    );
  }
}

/**
 * Throws a RangeError if the folder of `path` leaves no room for the spare path at which a listener is
 * first bound.
 */
export function checkSparePath(as: string, path: string): void {
  const folder = Buffer.byteLength(join(dirname(path), "/"));
  if (folder + SPARE_NAME_LENGTH <= MAX_PATH) return;
  throw new RangeError(
    `Cannot ${as} as 'path' must be in a folder of at most ${
      MAX_PATH - SPARE_NAME_LENGTH
    } bytes: ` +
      `current value is of ${folder} bytes, ${printableJson(path)}`,
  );
}

/** What other APIs call the options that say where to listen. */
export const ADDRESS_REPLACEMENTS: Replacements = {
  host: "did you mean 'hostname'?",
  unix: "did you mean 'path'?",
  tcpBacklog: "did you mean 'backlog'?",
};

const NAMES: OptionNames<ListenOptions> = {
  port: true,
  hostname: true,
  path: true,
  socketName: true,
  fd: true,
  reusePort: true,
  backlog: true,
};

/** Throws for options of `listen` that have the wrong type, are out of range or contradict each other. */
export function checkListen(options: ListenOptions): void {
  checkNames("listen", options, NAMES, ADDRESS_REPLACEMENTS);
  const as = (name: string) => `listen as '${name}'`;
  checkAddress(as, options);
  checkInteger(as("fd"), options.fd, 0, 2_147_483_647);
  if (options.fd === undefined) return;
  const others = ["port", "hostname", "path", "reusePort", "backlog", "socketName"] as const;
  for (const name of others) {
    if (options[name] !== undefined) refuse(as(name), "absent where 'fd' is given", options[name]);
  }
}

/** An IPv6 address as it stands in a URL. */
const BRACKETED = /^\[([^\]]*:[^\]]*)\]$/;

/** Returns the address that the options ask for. */
export function listenAddress(
  { path, hostname = "0.0.0.0", port = 8_000 }: Pick<ListenOptions, "port" | "hostname" | "path">,
): Addr {
  if (path !== undefined) return { transport: "unix", path };
  return { transport: "tcp", hostname: hostname.replace(BRACKETED, "$1"), port };
}
