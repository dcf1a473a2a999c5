/**
 * The servers of Node's modules that speak TLS. This module is loaded for the first such server, because
 * loading `node:tls` is expensive.
 */
import http from "node:http";
import type http2 from "node:http2";
import process from "node:process";
import tls from "node:tls";
import { nodeHttps } from "../host/http_modules.ts";
import { HTTP_PROTOCOLS } from "../../options/serve.ts";
import type { Certificates, TlsSettings } from "../../options/tls.ts";
import { ServedCertificates } from "../../server/served_certificates.ts";
import type { NodeServer } from "./driver.ts";
import { checkResumedSessions } from "./resumed_sessions.ts";
import { SecureContexts } from "./secure_contexts.ts";

const HTTP_1 = "http/1.1";

/** A server of `node:tls`, with its certificates. */
export interface SecureListener {
  readonly listener: tls.Server;
  readonly certificates: ServedCertificates;
}

/** An HTTP server over TLS. On Node the server and its listener are the same object. */
export interface SecureHttpServer extends SecureListener {
  readonly server: NodeServer;
}

/** Creates a server of any protocol over TLS. Its listener announces connections after their handshake. */
export function secureListener(
  settings: TlsSettings,
  options: { allowHalfOpen: boolean; noDelay: boolean },
): SecureListener {
  const { alpnProtocols = [] } = settings;
  const contexts = new SecureContexts(settings, {});
  const listener = tls.createServer({
    ...options,
    ...contexts.options,
    ...(alpnProtocols.length === 0 ? {} : { ALPNProtocols: [...alpnProtocols] }),
  });
  return ready(settings, listener, contexts);
}

/** Creates a server for HTTP/2, HTTP/1, or both. `options` are options of Node's own server. */
export async function secureHttpServer(
  settings: TlsSettings,
  options: http.ServerOptions & http2.SecureServerOptions,
): Promise<SecureHttpServer> {
  const { alpnProtocols = HTTP_PROTOCOLS } = settings;
  const contexts = new SecureContexts(settings, options);
  if (!alpnProtocols.includes("h2")) return http1Server(settings, options, contexts);
  const { createSecureServer } = await import("node:http2");
  const allowHTTP1 = alpnProtocols.includes(HTTP_1);
  const server = createSecureServer({ ...contexts.options, allowHTTP1 });
  return { server, ...ready(settings, server, contexts) };
}

/**
 * Creates a server for HTTP/1. On Bun a server of `node:tls` listens and passes each connection to an HTTP
 * server, because Bun's `node:https` neither shows its connections nor can change its certificate.
 */
function http1Server(
  settings: TlsSettings,
  options: http.ServerOptions,
  contexts: SecureContexts,
): SecureHttpServer {
  const secure = { ...contexts.options, ALPNProtocols: [HTTP_1] };
  if (!("bun" in process.versions)) {
    const server = nodeHttps().createServer(secure);
    return { server, ...ready(settings, server, contexts) };
  }
  const server = http.createServer(options);
  const listener = tls.createServer(
    { ...secure, allowHalfOpen: true, noDelay: options.noDelay ?? true },
    (socket) => server.emit("connection", socket),
  );
  return { server, ...ready(settings, listener, contexts) };
}

function ready(
  { certificates, ca, rejectUnauthorized }: TlsSettings,
  listener: tls.Server,
  contexts: SecureContexts,
): SecureListener {
  if (ca !== undefined) checkResumedSessions(listener, rejectUnauthorized);
  const present = (certificates: Certificates) => contexts.present(listener, certificates);
  return { listener, certificates: new ServedCertificates(certificates, present) };
}
