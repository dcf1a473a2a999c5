import { Buffer } from "node:buffer";
import { dirname, join } from "node:path";
import process from "node:process";
import { checkInteger, checkText, checkType, refuse } from "./checks.ts";
import { printableJson } from "../core/printable.ts";
import type { Addr } from "../core/addr.ts";
import { SPARE_NAME_LENGTH } from "../core/spare_path.ts";

/**
 * How long the path of a unix socket may be, in bytes, with which each runtime can listen: the structure
 * has 108 on Linux, and less elsewhere. Windows has names of pipes.
 */
const MAX_PATH = process.platform === "win32" ? 256 : process.platform === "linux" ? 107 : 103;

/**
 * A listening socket that can be handed on to the next process, and a server made to accept on it.
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
  /** The address of the listener. For TCP port 0, with the port that the system chose. */
  readonly addr: Addr;
  /**
   * Its descriptor: for `listen({ fd })` of a server of `node:http` or `node:net` (on Bun of
   * `node:net` alone). The server owns it from then on, and accepts from then on: call its `listen`
   * last, when the program can serve. In a Worker of Node it throws an `UpgradeError`, for there only
   * `serve` can have it.
   */
  readonly fd: number;
  /** Whether the listener was inherited: from the predecessor, or from systemd. */
  readonly inherited: boolean;
  /**
   * Closes it, if no server of ours has it: one that does closes it itself. Not to be called while a
   * server of somebody else's listens on `fd`; after that server's end it removes the file of a unix
   * socket. May be called many times.
   */
  close(): void;
}

/** Options of {@linkcode listen}. */
export interface ListenOptions {
  /**
   * The TCP port, 0 to 65535. 0 lets the system choose one: see `listener.addr`.
   *
   * @default {8000}
   */
  port?: number;
  /**
   * The address to listen on, or a name for it.
   *
   * @default {"0.0.0.0"}
   */
  hostname?: string;
  /**
   * Listen on a unix socket at this path instead of on TCP. There must be no file at the path. Deno
   * asks for `--allow-read` and `--allow-write` of it.
   */
  path?: string;
  /**
   * The name of a socket that systemd may have passed (`FileDescriptorName=` of its unit), which is
   * taken over whatever its address is. The address of the other options is for where there is none.
   */
  socketName?: string;
  /** The descriptor of a socket that listens already, instead of an address. */
  fd?: number;
  /** Whether to set SO_REUSEPORT. Deno asks for `--unstable-net`. */
  reusePort?: boolean;
  /** The number of connections that may wait in the accept queue. The default is the runtime's. */
  backlog?: number;
}

/** The options that say where to listen, in both of `listen` and `serve`. */
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
 * Refuses a path that the address of a unix socket has no room for: the kernel, or the runtime, would
 * cut it off, and nobody could connect to it.
 */
function checkPath(what: string, path: string): void {
  const length = Buffer.byteLength(path);
  if (length > MAX_PATH || path.includes("\0")) {
    throw new RangeError(
      `Cannot ${what} must be of at most ${MAX_PATH} bytes, none of them 0: current value is of ` +
        `${length} bytes, ${printableJson(path)}`,
    );
  }
}

/** Throws for a path in whose folder there is no room for the path that a listener is first bound at. */
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

/** Throws for options of `listen` that have the wrong type, are out of range or contradict. */
export function checkListen(options: ListenOptions): void {
  const as = (name: string) => `listen as '${name}'`;
  checkAddress(as, options);
  checkInteger(as("fd"), options.fd, 0, 2_147_483_647);
  if (options.fd === undefined) return;
  const others = ["port", "hostname", "path", "reusePort", "backlog", "socketName"] as const;
  for (const name of others) {
    if (options[name] !== undefined) refuse(as(name), "absent where 'fd' is given", options[name]);
  }
}

/** Returns the address that options ask for. */
export function listenAddress(
  { path, hostname = "0.0.0.0", port = 8_000 }: Pick<ListenOptions, "port" | "hostname" | "path">,
): Addr {
  return path === undefined ? { transport: "tcp", hostname, port } : { transport: "unix", path };
}
