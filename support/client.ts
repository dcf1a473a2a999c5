import net from "node:net";
import tls from "node:tls";
import { Buffer } from "node:buffer";
import type { Addr } from "../mod.ts";

/** One HTTP/1 response as it was on the wire. */
export interface RawResponse {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** A client that writes bytes and sees bytes: for where each one matters. */
export class RawClient {
  readonly socket: net.Socket;
  /** Resolves with how the connection ended. Never rejects. */
  readonly closed: Promise<"end" | "reset">;
  #received: Buffer = Buffer.alloc(0);
  #dropped = 0;
  #wake = Promise.withResolvers<void>();
  #over = false;

  constructor(socket: net.Socket) {
    this.socket = socket;
    let failed = false;
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#changed();
    });
    socket.on("end", () => this.#ended());
    socket.on("error", () => failed = true);
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#ended();
        resolve(failed ? "reset" : "end");
      });
    });
  }

  /** Everything that came and was not yet taken. */
  get received(): string {
    return this.#received.toString("latin1");
  }

  /** Whether the server has ended its side. */
  get isOver(): boolean {
    return this.#over;
  }

  write(text: string): void {
    this.socket.write(text);
  }

  /** Waits until the pattern has come, and takes everything up to its end. */
  async take(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.received);
      if (match !== null) {
        const end = match.index + match[0].length;
        const taken = this.received.slice(0, end);
        this.#received = this.#received.subarray(end);
        return taken;
      }
      if (this.#over) {
        throw new Error(`The connection ended before ${pattern}, with ${show(this.received)}`);
      }
      await this.#wake.promise;
    }
  }

  /** Waits for the head of the next response, and takes it. */
  async head(): Promise<RawResponse> {
    const [statusLine = "", ...lines] = (await this.take(/\r\n\r\n/)).trimEnd().split("\r\n");
    const headers = Object.fromEntries(lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    return { status: Number(statusLine.split(" ")[1]), headers, body: "" };
  }

  /** Waits for the next response as a whole, and takes it. `bodiless` for that of a HEAD. */
  async response(bodiless = false): Promise<RawResponse> {
    const head = await this.head();
    if (bodiless || head.status === 204 || head.status === 304 || head.status < 200) return head;
    return { ...head, body: await this.#body(head.headers) };
  }

  async #body(headers: Record<string, string>): Promise<string> {
    if (headers["transfer-encoding"] === "chunked") return await this.#chunks();
    const length = headers["content-length"];
    if (length === undefined) {
      await this.end();
      return this.received;
    }
    return await this.bytes(Number(length));
  }

  async #chunks(): Promise<string> {
    let body = "";
    for (;;) {
      const size = parseInt(await this.take(/^[0-9a-f]+\r\n/i), 16);
      body += (await this.bytes(size + 2)).slice(0, -2);
      if (size === 0) return body;
    }
  }

  /** Waits for so many bytes, and takes them. */
  async bytes(count: number): Promise<string> {
    while (this.#received.length < count) {
      if (this.#over) {
        throw new Error(`The connection ended after ${this.#received.length} of ${count} bytes`);
      }
      await this.#wake.promise;
    }
    const taken = this.#received.subarray(0, count).toString("latin1");
    this.#received = this.#received.subarray(count);
    return taken;
  }

  /** Counts what comes instead of keeping it; resolves with the count at the end. */
  async countToEnd(): Promise<number> {
    this.socket.removeAllListeners("data");
    this.#dropped = this.#received.length;
    this.socket.on("data", (chunk: Buffer) => this.#dropped += chunk.length);
    this.socket.resume();
    await this.end();
    return this.#dropped;
  }

  /** Resolves when the server has ended its side. */
  async end(): Promise<void> {
    while (!this.#over) await this.#wake.promise;
  }

  /** Ends the connection as a process that dies would. */
  vanish(): void {
    // One whose end was sent cannot be reset any more: node would keep its handle. One with TLS has no
    // handle of its own to reset.
    if (this.socket.writableEnded || "getPeerCertificate" in this.socket) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  #ended(): void {
    this.#over = true;
    this.#changed();
  }

  #changed(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

function show(text: string): string {
  return text === "" ? "nothing" : JSON.stringify(text.slice(0, 200));
}

/** Options of a connection. */
export interface ConnectOptions {
  /** Speak TLS, and offer this protocol. */
  alpn?: string;
  /** Speak TLS, with these options. */
  tls?: tls.ConnectionOptions;
  /** Do not read until told to. */
  paused?: boolean;
}

/** Opens a connection; rejects if it is refused. */
export function connect(addr: Addr, options: ConnectOptions = {}): Promise<RawClient> {
  const where = addr.transport === "unix"
    ? { path: addr.path }
    : { port: addr.port, host: addr.hostname };
  return new Promise((resolve, reject) => {
    const alpn = options.alpn === undefined ? {} : { ALPNProtocols: [options.alpn] };
    const isSecure = options.alpn !== undefined || options.tls !== undefined;
    const socket = isSecure
      ? tls.connect({ ...where, rejectUnauthorized: false, ...alpn, ...options.tls })
      // Half open, so that the end of one side can be told from that of the other.
      : net.connect({ ...where, allowHalfOpen: true });
    socket.once("error", reject);
    socket.once(isSecure ? "secureConnect" : "connect", () => {
      socket.off("error", reject);
      const client = new RawClient(socket);
      socket.on("end", () => socket.end());
      if (options.paused) socket.pause();
      resolve(client);
    });
  });
}

/** The text of a request. */
export function request(path: string, ...headers: string[]): string {
  const [method, target] = path.includes(" ") ? path.split(" ") : ["GET", path];
  return [`${method} ${target} HTTP/1.1`, "Host: test", ...headers, "", ""].join("\r\n");
}

/** The request that asks for a WebSocket. */
export const webSocketUpgrade: string = request(
  "/",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
);
