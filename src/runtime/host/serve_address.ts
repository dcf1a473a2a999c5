/**
 * `DENO_SERVE_ADDRESS`, with which a platform says where the first server of a process is to listen:
 * instead of at its own address, or with `duplicate,` beside it. Deno reads the variable itself, for
 * `Deno.serve` and for `node:http`, and without a permission.
 */
import type { Addr } from "../../core/addr.ts";
import { addrOf, deno, type DenoListenOptions } from "../api/deno.ts";
import { readVariable } from "./variables.ts";

const NAME = "DENO_SERVE_ADDRESS";

/** An address at which a server is to listen because its platform says so. */
export interface ServeAddress {
  readonly where: DenoListenOptions;
  /** Whether to listen there beside the server's own address, and without TLS. */
  readonly isDuplicate: boolean;
}

/**
 * Takes the address: the servers that start after this one listen at their own, those of `Deno.serve`
 * too. Undefined if there is none that Deno accepts, or if it has been taken.
 *
 * @throws {TypeError} If there is one, and this process may not read it.
 */
export function takeServeAddress(): ServeAddress | undefined {
  const look = firstLook();
  // The options are copied to be given another address, or their signal is, for a second listener.
  if (look !== "ownKeys" && look !== "signal") return undefined;
  const value = readVariable(NAME);
  if (value === undefined && isHidden()) {
    throw new TypeError(
      `Cannot serve as '${NAME}' must be readable where it is set: allow it with ` +
        `--allow-env=${NAME}, or serve with the engine "deno-serve"`,
    );
  }
  return { where: parse(value), isDuplicate: look === "signal" };
}

/**
 * The address that a listening server of `node:http` does not name, because the platform gave it one
 * that is not on TCP.
 */
export function unnamedServeAddress(): Addr {
  const where = parse(readVariable(NAME));
  return addrOf(where.transport === "tunnel" ? { path: "tunnel:" } : where);
}

/** Takes the address away: a server that is given its socket listens there and nowhere else. */
export function disregardServeAddress(): void {
  firstLook();
}

/**
 * What `Deno.serve` looks at first of its options. It has taken the address by then, if there is one, and
 * gets no further.
 */
function firstLook(): string {
  let first: string | undefined;
  const lookAt = (what: string | symbol): never => {
    first ??= String(what);
    throw new Error("No further");
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
    // As intended.
  }
  return first ?? "";
}

function isHidden(): boolean {
  return deno().permissions.querySync({ name: "env", variable: NAME }).state !== "granted";
}

/** Parses a value that Deno has found valid. Without a variable it is the tunnel of `deno --tunnel`. */
function parse(value = "tunnel:"): DenoListenOptions {
  const [, kind, rest = ""] = /^(?:duplicate,)?(\w+):(.*)$/s.exec(value) ?? [];
  if (kind === "unix") return { transport: "unix", path: rest };
  if (kind === "tunnel") return { transport: "tunnel" };
  const colon = rest.lastIndexOf(":");
  const [host, port] = [rest.slice(0, colon), Number(rest.slice(colon + 1))];
  if (kind === "vsock") return { transport: "vsock", cid: Number(host), port };
  return { transport: "tcp", hostname: host.replace(/^\[|\]$/g, ""), port };
}
