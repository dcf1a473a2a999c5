/** Certificates for tests, which `certificates/make.sh` makes, and clients that see which one is presented. */
import { readFileSync } from "node:fs";
import type tls from "node:tls";
import type { Addr } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";

type Pair = { readonly cert: string; readonly key: string };

/** Returns the text of a file in PEM. */
export function pemFile(name: string): string {
  return readFileSync(new URL(`./certificates/${name}`, import.meta.url), "utf8");
}

/** Returns the certificate and the key with a name. */
export function pair(name: string): Pair {
  return { cert: pemFile(`${name}.pem`), key: pemFile(`${name}.key`) };
}

/** Certificates of localhost. */
export const first: Pair = pair("first");
export const second: Pair = pair("second");
/** Certificates of api.example.com. */
export const named: Pair = pair("named");
export const namedSecond: Pair = pair("named_second");
/** A certificate of *.example.org. */
export const wildcard: Pair = pair("wildcard");
/** The authority that has issued all of the certificates but that of the stranger. */
export const authority: string = pemFile("authority.pem");
/** Certificates of clients. */
export const client: Pair = pair("client");
export const stranger: Pair = pair("stranger");

/** What a client sees of a connection. */
export interface Seen {
  /** The common name of the server's certificate. */
  readonly name: string;
  readonly protocol: string | null;
  readonly alpn: string | undefined;
}

/**
 * Connects, and returns what the handshake shows. Rejects if there is none. With `ca`, Deno's client does not
 * resume a session, which would show the certificate of the session.
 */
export async function see(addr: Addr, options: tls.ConnectionOptions = {}): Promise<Seen> {
  const { socket } = await connect(addr, { tls: { ca: authority, ...options } });
  const seen = seenOf(socket as tls.TLSSocket);
  socket.destroy();
  return seen;
}

/** Returns what the handshake of a socket has shown. */
export function seenOf(socket: tls.TLSSocket): Seen {
  return {
    name: String(socket.getPeerCertificate().subject.CN),
    protocol: socket.getProtocol(),
    // Node and Bun say `false` for none, and Deno `false` or `null`.
    alpn: socket.alpnProtocol || undefined,
  };
}

/** Returns the body of the response to a request over a connection of its own. Rejects if there is none. */
export async function get(
  addr: Addr,
  path: string,
  options: tls.ConnectionOptions = {},
): Promise<string> {
  const conn = await connect(addr, { tls: options });
  conn.write(request(path, "Connection: close"));
  const { body } = await conn.response();
  await conn.closed;
  return body;
}
