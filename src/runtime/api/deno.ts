/**
 * The types of the part of Deno's public API that this package uses, written down here so that the type
 * checkers of the other runtimes can read them.
 */
import { type Addr, unmapped } from "../../core/addr.ts";
import type { Refable } from "../../server/native_server.ts";

/** A network address as Deno represents it. */
interface NativeAddr {
  readonly hostname?: string;
  readonly port?: number;
  readonly path?: string;
  /** The context id of a vsock address. Such an address has a port as well. */
  readonly cid?: number;
}

/** An accepted connection, before HTTP takes it over. */
export interface DenoConn {
  readonly remoteAddr: NativeAddr;
  close(): void;
  /** Completes the TLS handshake. Absent on a connection without TLS. */
  handshake?(): Promise<{ alpnProtocol: string | null }>;
}

/** A listener of `Deno.listen` or `Deno.listenTls`. */
export interface DenoListener extends Refable {
  readonly addr: NativeAddr;
  accept(): Promise<DenoConn>;
  close(): void;
}

/** The second argument of a handler of `Deno.serve`: information about the request. */
export interface DenoInfo {
  /**
   * The address of the client. Reading this property throws once the response has been handed over or the
   * request is gone.
   */
  readonly remoteAddr: NativeAddr;
  /** A promise that settles when the response has been delivered, if the response body is a stream. */
  readonly completed: Promise<void>;
}

/** A handler of `Deno.serve`. */
export type DenoHandler = (request: Request, info: DenoInfo) => Response | Promise<Response>;

/** A server that `Deno.serve` returns. */
export interface DenoHttpServer extends Refable {
  readonly addr: NativeAddr;
  readonly finished: Promise<void>;
  shutdown(): Promise<void>;
}

/** The options of `Deno.listen` and `Deno.listenTls`. */
export type DenoListenOptions =
  | { transport: "unix"; path: string }
  | { transport: "vsock"; cid: number; port: number }
  | { transport: "tunnel" }
  | {
    transport: "tcp";
    hostname: string;
    port: number;
    reusePort?: boolean;
    tcpBacklog?: number;
    cert?: string;
    key?: string;
    alpnProtocols?: readonly string[];
  };

interface DenoRuntime {
  readonly internal: symbol;
  readonly build: { readonly standalone: boolean };
  readonly noColor: boolean;
  readonly permissions: {
    querySync(
      descriptor:
        | { name: "ffi" }
        | { name: "env"; variable: string }
        | { name: "read"; path: string | undefined },
    ): { state: string };
  };
  dlopen(library: string, symbols: Record<string, unknown>): { symbols: unknown };
  readonly UnsafePointer: {
    of(buffer: Uint8Array): object | null;
    value(pointer: object | null): bigint;
  };
  listen(options: DenoListenOptions): DenoListener;
  listenTls(options: DenoListenOptions): DenoListener;
  serve(options: Record<string, unknown>, handler: DenoHandler): DenoHttpServer;
}

/**
 * Converts an address of Deno to an {@linkcode Addr}; Deno's own address objects have no prototype. A vsock
 * address becomes the path of a unix socket, as in Deno's `node:http`.
 */
export function addrOf({ hostname, port, path, cid }: NativeAddr): Addr {
  if (hostname !== undefined && port !== undefined) {
    return { transport: "tcp", hostname: unmapped(hostname), port };
  }
  return { transport: "unix", path: cid === undefined ? path ?? "" : `vsock:${cid}:${port}` };
}

/** Returns the `Deno` namespace. Must be called on Deno only. */
export function deno(): DenoRuntime {
  // The cast: the types of other runtimes do not know Deno's namespace.
  return (globalThis as unknown as { Deno: DenoRuntime }).Deno;
}
