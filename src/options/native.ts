import type http from "node:http";
import type http2 from "node:http2";
import type { Limits } from "./limits.ts";
import { checkObject, refuse } from "./checks.ts";
import { HANDLER, PROTOCOLS, TLS, TRANSPORT, VSOCK } from "./foreign_names.ts";
import { checkBunValues, checkNodeValues } from "./native_values.ts";
import { refuseNames, type Replacements } from "./names.ts";

/**
 * The options of Node's own servers, for the engine "node": the options of `http.createServer`, and with TLS also the
 * options of `http2.createSecureServer`. Values that Node would silently replace, or reject after the call, are refused
 * at the call; Node checks all other values.
 */
export interface NodeOptions extends
  Omit<
    http.ServerOptions & http2.SecureServerOptions,
    | "cert"
    | "key"
    | "pfx"
    | "passphrase"
    | "ca"
    | "requestCert"
    | "rejectUnauthorized"
    | "SNICallback"
    | "ALPNProtocols"
    | "ALPNCallback"
    | "allowHTTP1"
    | "IncomingMessage"
    | "ServerResponse"
    | "Http1IncomingMessage"
    | "Http1ServerResponse"
    | "Http2ServerRequest"
    | "Http2ServerResponse"
    | "http1Options"
    | "optimizeEmptyRequests"
    | "shouldUpgradeCallback"
    | "unknownProtocolTimeout"
  > {}

/** The options of `Deno.serve` that have no counterpart in `serve`, for the engine "deno-serve". */
export interface DenoOptions {
  /** Whether Deno compresses responses. */
  automaticCompression?: boolean;
}

/**
 * The options of `Bun.serve` that have no counterpart in `serve`, for the engine "bun". Bun checks their values. The
 * type is Bun's own if the types of Bun are installed.
 */
export type BunOptions = typeof globalThis extends
  { Bun: { serve(options: infer Options): unknown } } ? {
    [
      Name in Exclude<
        keyof Options,
        "fetch" | "tls" | "port" | "hostname" | "unix" | "reusePort" | "error" | "websocket"
      >
    ]?: Options[Name];
  }
  : Record<string, unknown>;

/** Options of the runtimes' own servers, by engine. They are passed on unchanged. */
export interface NativeOptions {
  /**
   * Options of Node's own server, such as `requestTimeout` and `maxHeaderSize`, for the engine "node". Other engines
   * ignore them. Options that would break a promise of this package are refused.
   */
  node?: NodeOptions;
  /**
   * Options of Deno's own server. Only the engine "deno-serve" supports them, so `"auto"` then chooses that engine on
   * Deno. It keeps fewer promises than "deno". Other runtimes ignore these options.
   */
  deno?: DenoOptions;
  /**
   * Options of Bun's own server, such as `routes` and `maxRequestBodySize`. Other runtimes ignore them. Options
   * that would break a promise of this package are refused.
   *
   * A function of a route is called with Bun's request and server, and `onError` makes the response if the function
   * throws. With `http3`, new HTTP/3 connections are accepted until the `idleGrace` of a drain is over.
   */
  bun?: BunOptions;
}

const OWN_CLASSES = "serve() makes the requests and responses";

/** What to use instead of options of a runtime's own server that `serve` does not pass on. */
const NODE_WITHHELD: Replacements = {
  cert: TLS,
  key: TLS,
  pfx: TLS,
  passphrase: "use 'passphrase' of serve()",
  ca: "use 'ca' of serve()",
  requestCert: "use 'requestCert' of serve()",
  rejectUnauthorized: "use 'rejectUnauthorized' of serve()",
  SNICallback: "use 'certificates' of serve()",
  ALPNProtocols: PROTOCOLS,
  ALPNCallback: PROTOCOLS,
  allowHTTP1: PROTOCOLS,
  IncomingMessage: OWN_CLASSES,
  ServerResponse: OWN_CLASSES,
  Http1IncomingMessage: OWN_CLASSES,
  Http1ServerResponse: OWN_CLASSES,
  Http2ServerRequest: OWN_CLASSES,
  Http2ServerResponse: OWN_CLASSES,
  http1Options: "its options stand in 'node' itself",
  optimizeEmptyRequests: "a drain needs the events of every request",
  shouldUpgradeCallback: "use adopt() for a server that upgrades connections",
  unknownProtocolTimeout: "serve() refuses a client that does not speak HTTP/2 at once",
};

const DENO_WITHHELD: Replacements = {
  handler: HANDLER,
  cert: TLS,
  key: TLS,
  port: "use 'port' of serve()",
  hostname: "use 'hostname' of serve()",
  path: "use 'path' of serve()",
  transport: TRANSPORT,
  cid: VSOCK,
  reusePort: "use 'reusePort' of serve()",
  tcpBacklog: "use 'backlog' of serve()",
  signal: "use 'signal' of serve()",
  onError: "use 'onError' of serve()",
  onListen: "use 'onListen' of serve()",
};

const BUN_WITHHELD: Replacements = {
  fetch: HANDLER,
  tls: TLS,
  port: "use 'port' of serve()",
  hostname: "use 'hostname' of serve()",
  unix: "use 'path' of serve()",
  reusePort: "use 'reusePort' of serve()",
  error: "use 'onError' of serve()",
  websocket: "use 'websocket' of serve()",
};

/** Options in `node`, `deno` and `bun` that mean the same as an option of `serve` under another name. */
const SAME = [
  ["node", "keepAliveTimeout", "idleTimeout"],
  ["node", "headersTimeout", "headerTimeout"],
  ["node", "minVersion", "minVersion"],
  ["bun", "http1", "alpnProtocols"],
  ["bun", "http2", "alpnProtocols"],
] as const;

/** Throws for options of an engine that `serve` does not pass on. */
export function checkNative(
  options: NativeOptions & Limits & {
    readonly alpnProtocols?: unknown;
    readonly minVersion?: string | undefined;
  },
): void {
  checkBlock("node", options.node, NODE_WITHHELD);
  checkBlock("deno", options.deno, DENO_WITHHELD);
  checkBlock("bun", options.bun, BUN_WITHHELD);
  for (const [block, theirs, ours] of SAME) {
    // The cast: the block is an object.
    const value = (options[block] as Record<string, unknown> | undefined)?.[theirs];
    if (value === undefined || options[ours] === undefined) continue;
    refuse(`serve as '${block}.${theirs}'`, `absent where '${ours}' is given`, value);
  }
  checkNodeValues(options.node, options.minVersion);
  checkBunValues(options.bun);
}

function checkBlock(name: keyof NativeOptions, block: unknown, withheld: Replacements): void {
  if (block === undefined) return;
  checkObject(`serve as '${name}'`, block);
  refuseNames("serve", block, withheld, `${name}.`);
}

/** {@linkcode NativeOptions} without names whose value is undefined, which would replace the defaults. */
export type NativeSettings = Readonly<
  Record<keyof NativeOptions, Readonly<Record<string, unknown>>>
>;

/** Returns the settings for checked options. */
export function nativeSettings({ node, deno, bun }: NativeOptions): NativeSettings {
  return { node: defined(node), deno: defined(deno), bun: defined(bun) };
}

function defined(block: object = {}): Record<string, unknown> {
  return Object.fromEntries(Object.entries(block).filter(([, value]) => value !== undefined));
}
