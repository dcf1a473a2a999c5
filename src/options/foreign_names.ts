/** What to use instead of options of other APIs, by their names in these APIs. */
import { ADDRESS_REPLACEMENTS } from "./listen.ts";
import type { Replacements } from "./names.ts";

/** What to use instead of options that several other APIs have. */
export const HANDLER = "the handler is the first argument of serve()";
export const TLS = "'cert' and 'key' of serve() turn on TLS";
export const PROTOCOLS = "use 'alpnProtocols' of serve()";
export const TRANSPORT = "a server listens on TCP, or with 'path' on a unix socket";
export const VSOCK = "use adopt() for a server on vsock";

const NAMED =
  "it belongs in an entry of 'certificates', as in { certificates: [{ serverName: …, cert, key }] }";

const ON_SHUTDOWN = "it is a method of the server, as in server.onShutdown(fn)";

/** What to use instead of a name that `shutdown` was given and that is not one of its options. */
export const SHUTDOWN_REPLACEMENTS: Replacements = {
  ...of("graceful()", [
    "beforeShutdown",
    "beforeShutdownTimeout",
    "cleanup",
    "cleanupTimeout",
    "drainDelay",
    "exceptions",
    "exit",
    "log",
    "onDrain",
    "shutdownOnMessage",
    "signals",
    "upgradeOn",
    "upgrader",
  ]),
  onShutdown: ON_SHUTDOWN,
};

/** What to use instead of options of `graceful` and `shutdown` that a server was given. */
const OF_THE_END: Replacements = {
  ...SHUTDOWN_REPLACEMENTS,
  ...of("shutdown() and graceful()", ["timeout", "idleGrace", "hijacked"]),
};

/** What to use instead of options of TLS, in `serve` and in `serveTcp`. */
const OF_TLS: Replacements = {
  serverName: NAMED,
  servername: NAMED,
  SNICallback: "use 'certificates'",
  ALPNProtocols: "use 'alpnProtocols'",
  ALPNCallback: "use 'alpnProtocols'",
};

/** The options of servers of `node:tls` that have no counterpart here. */
const TLS_OF_NODE = [
  "allowPartialTrustChain",
  "ciphers",
  "clientCertEngine",
  "crl",
  "dhparam",
  "ecdhCurve",
  "enableTrace",
  "handshakeTimeout",
  "honorCipherOrder",
  "maxVersion",
  "privateKeyEngine",
  "privateKeyIdentifier",
  "pskCallback",
  "pskIdentityHint",
  "secureOptions",
  "secureProtocol",
  "sessionIdContext",
  "sessionTimeout",
  "sigalgs",
  "ticketKeys",
];

/** What to use instead of a name that `graceful` was given and that is not one of its options. */
export const GRACEFUL_REPLACEMENTS: Replacements = {
  onShutdown: ON_SHUTDOWN,
  ...Object.fromEntries(
    ["command", "cwd", "env", "pidFile", "readyTimeout"].map((name) => [
      name,
      `it is an option of the Upgrader, as in { upgrader: new Upgrader({ ${name}: … }) }`,
    ]),
  ),
  ...of("serve()", [
    "cert",
    "handoff",
    "headerTimeout",
    "hostname",
    "idleTimeout",
    "key",
    "maxBodySize",
    "path",
    "port",
  ]),
};

/** What to use instead of a name that `serveTcp` was given and that is not one of its options. */
export const TCP_REPLACEMENTS: Replacements = {
  ...ADDRESS_REPLACEMENTS,
  ...OF_THE_END,
  ...OF_TLS,
  tls: "'cert' and 'key' of serveTcp() turn on TLS",
  ...Object.fromEntries(
    TLS_OF_NODE.map((name) => [name, "use adopt() for a server of node:tls with it"]),
  ),
  ...of("serve()", [
    "bun",
    "deno",
    "engine",
    "headerTimeout",
    "idleTimeout",
    "maxBodySize",
    "node",
    "websocket",
  ]),
};

/** What to use instead of a name that `serve` was given and that is not one of its options. */
export const SERVE_REPLACEMENTS: Replacements = {
  ...ADDRESS_REPLACEMENTS,
  ...OF_THE_END,
  ...OF_TLS,
  fetch: HANDLER,
  handler: HANDLER,
  tls: `${TLS}, and 'certificates' has those for single server names`,
  pfx: TLS,
  allowHTTP1: PROTOCOLS,
  error: "did you mean 'onError'?",
  onListening: "did you mean 'onListen'?",
  transport: TRANSPORT,
  cid: VSOCK,
  maxRequestsPerSocket: "it is a property of 'server.native' with the engine \"node\"",
  ...inBlock("deno", ["automaticCompression"]),
  ...inBlock("bun", ["development", "http1", "http2", "http3", "id", "ipv6Only", "routes"]),
  ...inBlock("node", TLS_OF_NODE),
  ...inBlock("node", [
    "connectionsCheckingInterval",
    "highWaterMark",
    "httpValidation",
    "insecureHTTPParser",
    "joinDuplicateHeaders",
    "keepAlive",
    "keepAliveInitialDelay",
    "keepAliveTimeoutBuffer",
    "maxDeflateDynamicTableSize",
    "maxHeaderListPairs",
    "maxHeaderSize",
    "maxOutstandingPings",
    "maxSendHeaderBlockLength",
    "maxSessionInvalidFrames",
    "maxSessionMemory",
    "maxSessionRejectedStreams",
    "maxSettings",
    "noDelay",
    "paddingStrategy",
    "peerMaxConcurrentStreams",
    "rejectNonStandardBodyWrites",
    "remoteCustomSettings",
    "requestTimeout",
    "requireHostHeader",
    "settings",
    "streamResetBurst",
    "streamResetRate",
    "strictFieldWhitespaceValidation",
    "uniqueHeaders",
  ]),
  ...inBlock("bun", ["maxRequestBodySize"], "use 'maxBodySize'"),
  ...inBlock("node", ["headersTimeout"], "use 'headerTimeout'"),
  ...inBlock("node", ["keepAliveTimeout"], "use 'idleTimeout'"),
};

function of(functions: string, names: readonly string[]): Replacements {
  return Object.fromEntries(names.map((name) => [name, `it is an option of ${functions}`]));
}

/**
 * Returns advice to put options into `block`, the options of one engine. `instead` names an option of `serve`
 * that means the same on every engine.
 */
function inBlock(
  block: "node" | "deno" | "bun",
  names: readonly string[],
  instead?: string,
): Replacements {
  const whose = block === "node" ? ', for the engine "node"' : "";
  const it = instead === undefined ? "it" : `${instead}, as every engine has it, or else it`;
  return Object.fromEntries(
    names.map((
      name,
    ) => [name, `${it} belongs in '${block}', as in { ${block}: { ${name}: … } }${whose}`]),
  );
}
