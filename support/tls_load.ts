/**
 * A load of requests over TLS: clients with a connection for every request, clients that keep theirs alive,
 * and clients with an HTTP/2 session. Nothing is tried again, and every failure counts.
 */
import http2 from "node:http2";
import tls from "node:tls";
import { setTimeout as wait } from "node:timers/promises";
import { RawClient, request } from "./client.ts";

/** Options of {@linkcode TlsLoad}. */
export interface TlsLoadOptions {
  readonly port: number;
  /** The certificate of the authority of the server. With it, Deno's client does not resume sessions. */
  readonly ca: string;
  /** How many clients open a connection for every request. */
  readonly fresh: number;
  /** How many clients keep their connections alive. */
  readonly kept: number;
  /** How many clients send one stream after the other over an HTTP/2 session. */
  readonly http2: number;
  /** How many requests a session or a connection that is kept alive has, before the client opens another. */
  readonly perConnection: number;
}

/** In ms: how long one request may take. */
const TIMEOUT = 10_000;
/** In ms: how long a client waits after a failure. */
const AFTER_FAILURE = 10;
/** In ms: how long a client that keeps its connection waits between two requests. */
const BETWEEN = 5;

/** Clients at work. */
export class TlsLoad {
  requests = 0;
  answered = 0;
  /** The messages of the requests that failed. */
  readonly failures: string[] = [];
  /** How many handshakes have shown each certificate, by its common name. */
  readonly handshakes: Map<string, number> = new Map();
  readonly #options: TlsLoadOptions;
  readonly #clients: Promise<unknown>;
  #isStopped = false;

  /** Starts the clients. */
  constructor(options: TlsLoadOptions) {
    this.#options = options;
    const some = (length: number, run: () => Promise<void>) => Array.from({ length }, run);
    this.#clients = Promise.all([
      ...some(options.fresh, () => this.#repeat(() => this.#askAlone())),
      ...some(options.kept, () => this.#repeat(() => this.#askOnKept())),
      ...some(options.http2, () => this.#repeat(() => this.#askOverHttp2())),
    ]);
  }

  /** Resolves when so many requests have begun. */
  async until(requests: number): Promise<void> {
    while (this.requests < requests) await wait(1);
  }

  /** Resolves when the requests in flight are over; no further ones are sent. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#clients;
  }

  async #repeat(ask: () => Promise<void>): Promise<void> {
    while (!this.#isStopped) await ask();
  }

  /** Counts a request, and what becomes of it. Returns whether it was answered. */
  async #count(ask: () => Promise<string>): Promise<boolean> {
    this.requests++;
    const timer = AbortSignal.timeout(TIMEOUT);
    try {
      const isLate = new Promise<never>((_, reject) => {
        timer.onabort = () => reject(new Error("It took too long"));
      });
      const body = await Promise.race([ask(), isLate]);
      if (body !== "hello") throw new Error(`The body is ${JSON.stringify(body)}`);
      this.answered++;
      return true;
    } catch (error) {
      this.failures.push(String(error));
      await wait(AFTER_FAILURE);
      return false;
    } finally {
      timer.onabort = null;
    }
  }

  async #askAlone(): Promise<void> {
    let client: RawClient | undefined;
    await this.#count(async () => {
      client = await this.#connect();
      client.write(request("/hello", "Connection: close"));
      return (await client.response()).body;
    });
    client?.socket.destroy();
  }

  async #askOnKept(): Promise<void> {
    let client: RawClient | undefined;
    for (let i = 0; i < this.#options.perConnection && !this.#isStopped; i++) {
      let isLast = false;
      const isAnswered = await this.#count(async () => {
        client ??= await this.#connect();
        client.write(request("/hello"));
        const { headers, body } = await client.response();
        isLast = headers.connection?.toLowerCase() === "close";
        return body;
      });
      if (!isAnswered || isLast) break;
      await wait(BETWEEN);
    }
    client?.socket.destroy();
  }

  async #askOverHttp2(): Promise<void> {
    const { port, ca } = this.#options;
    const session = http2.connect(`https://127.0.0.1:${port}`, { ca, rejectUnauthorized: false });
    session.once("connect", (_session, socket) => this.#onHandshake(socket as tls.TLSSocket));
    session.on("error", () => {});
    for (let i = 0; i < this.#options.perConnection && !this.#isStopped; i++) {
      if (!await this.#count(() => streamOf(session))) break;
      await wait(BETWEEN);
    }
    session.close();
  }

  #connect(): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = tls.connect({
        port: this.#options.port,
        ca: this.#options.ca,
        host: "127.0.0.1",
        rejectUnauthorized: false,
        ALPNProtocols: ["http/1.1"],
      });
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        this.#onHandshake(socket);
        resolve(new RawClient(socket));
      });
    });
  }

  #onHandshake(socket: tls.TLSSocket): void {
    const name = String(socket.getPeerCertificate().subject?.CN);
    this.handshakes.set(name, (this.handshakes.get(name) ?? 0) + 1);
  }
}

/** The body of the response to a stream. */
function streamOf(session: http2.ClientHttp2Session): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":path": "/hello" });
    let body = "";
    stream.setEncoding("utf8");
    stream.on("data", (text) => body += text);
    stream.on("end", () => resolve(body));
    stream.on("error", reject);
    stream.on("close", () => reject(new Error("The stream has closed early")));
  });
}
