import { Buffer } from "node:buffer";
import type net from "node:net";
import type { Addr } from "../mod.ts";
import { connect, request } from "./client.ts";

/** The opcodes of frames (RFC 6455, 5.2). */
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;

/** A message, or a control frame. */
export interface Message {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** Options of a {@linkcode RawWebSocket}. */
export interface OpenOptions {
  readonly path?: string;
  /** Further lines of the head of the request. */
  readonly headers?: readonly string[];
  readonly tls?: boolean;
}

/** A client of bytes: it answers nothing by itself, also no close frame. */
export class RawWebSocket {
  readonly socket: net.Socket;
  /** Resolves with how the connection ended. Never rejects. */
  readonly closed: Promise<"end" | "reset">;
  /** Whether the client ends its side when the server has ended its own. */
  endsWithServer = true;
  /** The number of bytes that have come after the upgrade. */
  received = 0;
  #chunks: Buffer[] = [];
  #size = 0;
  #isOver = false;
  #wake = Promise.withResolvers<void>();

  private constructor(socket: net.Socket, closed: Promise<"end" | "reset">, first: Buffer) {
    this.socket = socket;
    this.closed = closed;
    for (const event of ["data", "end"]) socket.removeAllListeners(event);
    socket.on("end", () => {
      if (this.endsWithServer) socket.end();
    });
    socket.on("data", (chunk: Buffer) => this.#push(chunk));
    this.#push(first);
    closed.then(() => {
      this.#isOver = true;
      this.#wake.resolve();
    });
  }

  static async open(addr: Addr, options: OpenOptions = {}): Promise<RawWebSocket> {
    const { path = "/", headers = [], tls = false } = options;
    const client = await connect(addr, tls ? { alpn: "http/1.1" } : {});
    client.write(upgradeTo(path, ...headers));
    const { status } = await client.head();
    if (status !== 101) throw new Error(`Not upgraded: the status is ${status}`);
    return new RawWebSocket(client.socket, client.closed, Buffer.from(client.received, "latin1"));
  }

  #push(chunk: Buffer): void {
    this.received += chunk.length;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  send(opcode: number, payload: string | Uint8Array = ""): void {
    const body = Buffer.from(payload);
    // Lengths have to be as short as they can be. The mask is of zeros.
    const short = Buffer.from([0x80 | opcode, 0x80 | body.length, 0, 0, 0, 0]);
    const long = Buffer.alloc(14);
    long[0] = 0x80 | opcode;
    long[1] = 0x80 | 127;
    long.writeBigUInt64BE(BigInt(body.length), 2);
    this.socket.write(Buffer.concat([body.length < 126 ? short : long, body]));
  }

  /** Answers the server's close frame. */
  answerClose(code = 1001): void {
    this.send(CLOSE, Buffer.from([code >> 8, code & 0xff]));
  }

  /** Waits for the next message, or control frame. */
  async next(): Promise<Message> {
    const payloads: Buffer[] = [];
    for (let opcode = 0;;) {
      const head = await this.#take(2);
      const length = head[1]! & 0x7f;
      const size = length === 126
        ? (await this.#take(2)).readUInt16BE()
        : length === 127
        ? Number((await this.#take(8)).readBigUInt64BE())
        : length;
      opcode ||= head[0]! & 0x0f;
      payloads.push(await this.#take(size));
      if ((head[0]! & 0x80) !== 0) return { opcode, payload: Buffer.concat(payloads) };
    }
  }

  /** Waits for the next frame, which must be a text. */
  async text(): Promise<string> {
    const { opcode, payload } = await this.next();
    return expected(TEXT, opcode, payload).toString();
  }

  /** Waits for the next frame, which must close, and returns its code and its reason. */
  async closeFrame(): Promise<[code: number, reason: string]> {
    const { opcode, payload } = await this.next();
    expected(CLOSE, opcode, payload);
    return payload.length === 0
      ? [1005, ""]
      : [payload.readUInt16BE(), payload.subarray(2).toString()];
  }

  async #take(count: number): Promise<Buffer> {
    while (this.#size < count) {
      if (this.#isOver) {
        throw new Error(`The connection ended with ${this.#size} of ${count} bytes`);
      }
      await this.#wake.promise;
    }
    // The parts are joined only here: doing so with each chunk would take too long for large messages.
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(count)];
    this.#size -= count;
    return all.subarray(0, count);
  }
}

/** Returns the payload of a frame that has the wanted opcode, and throws for another. */
function expected(wanted: number, opcode: number, payload: Buffer): Buffer {
  if (opcode === wanted) return payload;
  throw new Error(
    `Opcode ${opcode} came, not ${wanted}, with ${payload.toString("latin1", 0, 80)}`,
  );
}

/** The text of a request that asks for a WebSocket. */
export function upgradeTo(path: string, ...headers: string[]): string {
  return request(
    path,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ...headers,
  );
}
