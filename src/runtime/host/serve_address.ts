/**
 * `DENO_SERVE_ADDRESS`, the variable with which a platform says where the first server of a process listens:
 * instead of at the server's own address, or with `duplicate,` in addition to it. Deno reads the variable
 * itself, for `Deno.serve` and for `node:http`, and needs no permission for that.
 */
import type { Addr } from "../../core/addr.ts";
import { addrOf, deno, type DenoListenOptions } from "../api/deno.ts";
import { readVariable } from "./variables.ts";

const NAME = "DENO_SERVE_ADDRESS";

/** The address at which a server listens because its platform says so. */
export interface ServeAddress {
  readonly where: DenoListenOptions;
  /** Whether the server listens there in addition to its own address, and without TLS. */
  readonly isDuplicate: boolean;
}

/**
 * Takes the platform's address, so that the servers that start later listen at their own addresses, even
 * servers of `Deno.serve`. Returns undefined if there is no address that Deno accepts, or if the address was
 * taken before.
 *
 * @throws {TypeError} If there is an address, and this process may not read it.
 */
export function takeServeAddress(): ServeAddress | undefined {
  const look = firstLook();
  // If there is an address, `Deno.serve` first copies the options ("ownKeys") to put the address in them, or,
  // for a second listener, first reads their "signal".
  if (look !== "ownKeys" && look !== "signal") return undefined;
  const value = readVariable(NAME);
  if (value === undefined && isHidden()) {
    throw new TypeError(
      `Cannot serve: the variable ${NAME} is set, and this process may not read it: allow it with ` +
        `--allow-env=${NAME}, or serve with the engine "deno-serve"`,
    );
  }
  return { where: parse(value), isDuplicate: look === "signal" };
}

/**
 * Returns the address of a server of `node:http` that listens but reports no address, because the platform
 * gave it an address that is not a TCP address.
 */
export function unnamedServeAddress(): Addr {
  const where = parse(readVariable(NAME));
  return addrOf(where.transport === "tunnel" ? { path: "tunnel:" } : where);
}

/** Takes the platform's address and ignores it, for a server that listens only on a socket that it is given. */
export function disregardServeAddress(): void {
  firstLook();
}

/**
 * Returns the name of what `Deno.serve` reads first of its options. By then `Deno.serve` has taken the
 * platform's address, if there is one. An error then stops `Deno.serve`.
 */
function firstLook(): string {
  let first: string | undefined;
  const lookAt = (what: string | symbol): never => {
    first ??= String(what);
    throw new Error("The look at the options of Deno.serve is over");
  };
  const options = new Proxy({}, {
    get: (_target, name) => lookAt(name),
    has: (_target, name) => lookAt(name),
    ownKeys: () => lookAt("ownKeys"),
    getOwnPropertyDescriptor: (_target, name) => lookAt(name),
  });
  try {
    deno().serve(options, () => new Response());
  } catch {
    // This is the error of `lookAt`.
  }
  return first ?? "";
}

function isHidden(): boolean {
  return deno().permissions.querySync({ name: "env", variable: NAME }).state !== "granted";
}

/**
 * Parses a value of the variable that Deno has found valid. Without the variable, the address is the tunnel of
 * `deno --tunnel`.
 */
function parse(value = "tunnel:"): DenoListenOptions {
  const [, kind, rest = ""] = /^(?:duplicate,)?(\w+):(.*)$/s.exec(value) ?? [];
  if (kind === "unix") return { transport: "unix", path: rest };
  if (kind === "tunnel") return { transport: "tunnel" };
  const colon = rest.lastIndexOf(":");
  const [host, port] = [rest.slice(0, colon), Number(rest.slice(colon + 1))];
  if (kind === "vsock") return { transport: "vsock", cid: Number(host), port };
  return { transport: "tcp", hostname: host.replace(/^\[|\]$/g, ""), port };
}
