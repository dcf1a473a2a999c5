/**
 * A client that resumes its TLS sessions, for Node: the clients of Deno and Bun cannot be told to. Its arguments
 * are ports of servers. It prints what the first one answers to each client in a full handshake, and then in a
 * resumed one; and then what the others answer to sessions of the last one, which asks for no certificate.
 */
import type { Buffer } from "node:buffer";
import http2 from "node:http2";
import process from "node:process";
import type tls from "node:tls";
import { connect, request } from "../../support/client.ts";
import { client, stranger } from "../support/certificates.ts";

const ports = process.argv.slice(2).map(Number);

interface Answer {
  readonly body: string;
  readonly session: Buffer | undefined;
  readonly isResumed: boolean;
}

/** Sends a request; the body is "refused" if there is no response. */
async function ask(port: number, options: tls.ConnectionOptions): Promise<Answer> {
  const refused = { body: "refused", session: undefined, isResumed: false };
  const addr = { transport: "tcp", hostname: "127.0.0.1", port } as const;
  const conn = await connect(addr, { alpn: "http/1.1", tls: options }).catch(() => undefined);
  if (conn === undefined) return refused;
  conn.socket.on("error", () => {});
  // The cast: the options ask for TLS.
  const socket = conn.socket as tls.TLSSocket;
  const isResumed = socket.isSessionReused();
  // With TLS 1.2 the session comes with the handshake, and with TLS 1.3 behind it.
  let session: Buffer | undefined = socket.getSession();
  socket.on("session", (given: Buffer) => session = given);
  conn.write(request("/", "Connection: close"));
  const response = await conn.response().catch(() => undefined);
  await conn.closed;
  return response === undefined ? refused : { body: response.body, session, isResumed };
}

/** The same over HTTP/2. */
function askOverHttp2(port: number, options: http2.SecureClientSessionOptions): Promise<string> {
  return new Promise((resolve) => {
    const client = http2.connect(`https://127.0.0.1:${port}`, {
      rejectUnauthorized: false,
      ...options,
    });
    client.on("error", () => resolve("refused"));
    client.on("close", () => resolve("refused"));
    const stream = client.request({ ":path": "/" });
    let body = "";
    stream.on("data", (chunk) => body += chunk);
    stream.on("error", () => resolve("refused"));
    stream.on("end", () => {
      resolve(body === "" ? "refused" : body);
      client.close();
    });
  });
}

const versions = ["TLSv1.2", "TLSv1.3"] as const;
for (const servername of ["localhost", "api.example.com"]) {
  for (const maxVersion of versions) {
    for (const pair of [client, stranger]) {
      const options = { ...pair, maxVersion, servername };
      const { body, session } = await ask(ports[0]!, options);
      const again = await ask(ports[0]!, { ...options, session });
      const how = again.isResumed ? "resumed" : "anew";
      console.log(`${servername}, ${maxVersion}: ${body}, ${how}: ${again.body}`);
    }
  }
}
for (const maxVersion of versions) {
  const { session } = await ask(ports.at(-1)!, { maxVersion });
  for (const port of ports.slice(0, -1)) {
    const options = { maxVersion, session };
    const { body } = await ask(port, options);
    console.log(`elsewhere, ${maxVersion}: ${body}, ${await askOverHttp2(port, options)}`);
  }
}
