/**
 * The types of what this package uses of Deno's public API, written down here so that the type checkers
 * of the other runtimes can read them.
 */
import type { Addr } from "../../core/addr.ts";

/** An address in Deno's words. */
interface NativeAddr {
  readonly hostname?: string;
  readonly port?: number;
  readonly path?: string;
  /** The context id of a vsock address, which has a port as well. */
  readonly cid?: number;
}

/** A connection that was accepted, before HTTP takes it over. */
export interface DenoConn {
  readonly remoteAddr: NativeAddr;
  close(): void;
  /** Completes the handshake; absent without TLS. */
  handshake?(): Promise<{ alpnProtocol: string | null }>;
}

/** A listener. */
export interface DenoListener {
  readonly addr: NativeAddr;
  accept(): Promise<DenoConn>;
  close(): void;
}

/** What a handler of Deno's is told. */
export interface DenoInfo {
  /** Throws once the response has been handed over or the request is gone. */
  readonly remoteAddr: NativeAddr;
  /** Settles when the response has been delivered, if its body is a stream. */
  readonly completed: Promise<void>;
}

/** A handler of Deno's. */
export type DenoHandler = (request: Request, info: DenoInfo) => Response | Promise<Response>;

/** What serves HTTP. */
export interface DenoHttpServer {
  readonly addr: NativeAddr;
  readonly finished: Promise<void>;
  shutdown(): Promise<void>;
}

/** The options of listening. */
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
    alpnProtocols?: string[];
  };

interface DenoRuntime {
  readonly internal: symbol;
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
 * An address as Deno has it: its objects have no prototype. One of a vsock stands as the path of a unix
 * socket, as it does in `node:http` of Deno.
 */
export function addrOf({ hostname, port, path, cid }: NativeAddr): Addr {
  if (hostname !== undefined && port !== undefined) return { transport: "tcp", hostname, port };
  return { transport: "unix", path: cid === undefined ? path ?? "" : `vsock:${cid}:${port}` };
}

/** The runtime. Only called on Deno. */
export function deno(): DenoRuntime {
  // The cast: the types of other runtimes do not know Deno's namespace.
  return (globalThis as unknown as { Deno: DenoRuntime }).Deno;
}
