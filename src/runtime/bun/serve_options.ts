/** The options with which `Bun.serve` is called, except for the handler and the routes. */
import { printable } from "../../core/printable.ts";
import { HTTP_PROTOCOLS, type ServeSettings } from "../../options/serve.ts";
import type { TlsSettings } from "../../options/tls.ts";

/** Functions of the driver among the options of `Bun.serve`. */
export interface DriverFunctions {
  /** Answers a request that Bun itself could not answer. */
  readonly error: (error: unknown) => Promise<Response>;
  /** The handlers of WebSockets; undefined if the server has none. */
  readonly websocket: object | undefined;
}

/** Returns the options for `Bun.serve`. Options in the block `bun` override the defaults of this package. */
export function serveOptions(
  { listen, tls, reusePort, native }: ServeSettings,
  { error, websocket }: DriverFunctions,
): object {
  return {
    ...(listen.transport === "unix"
      ? { unix: listen.path }
      : { hostname: listen.hostname, port: listen.port, reusePort }),
    ...(tls === undefined ? {} : tlsOptions(tls)),
    ...(websocket === undefined ? {} : { websocket }),
    error,
    // By default Bun cuts off a handler that takes longer than 10 s.
    idleTimeout: 0,
    // By default Bun refuses a body of more than 128 MiB before the handler sees the request.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    development: false,
    ...native.bun,
  };
}

/** The version number of TLS 1.3 in the protocol. */
const TLS_1_3 = 0x0304;

function tlsOptions(
  { certificates: { standard, named }, minVersion, alpnProtocols = HTTP_PROTOCOLS }: TlsSettings,
): Record<string, unknown> {
  const version = minVersion === "TLSv1.3" ? { minVersion: TLS_1_3 } : {};
  return {
    tls: [
      { ...standard, ...version },
      ...[...named].map(([serverName, certificate]) => ({
        serverName,
        ...certificate,
        ...version,
      })),
    ],
    http2: alpnProtocols.includes("h2"),
    http1: alpnProtocols.includes("http/1.1"),
  };
}

/** Returns what to throw if an error says that Bun refuses the value of an option; undefined for any other error. */
export function refusedOption(error: unknown): TypeError | undefined {
  const isRefusal = error instanceof TypeError && "code" in error &&
    error.code === "ERR_INVALID_ARG_TYPE";
  if (!isRefusal) return undefined;
  const why = printable(error.message);
  return new TypeError(`Cannot serve as Bun refuses an option: ${why}`, { cause: error });
}
