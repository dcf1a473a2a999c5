import { Buffer } from "node:buffer";
import type { Addr } from "../../mod.ts";
import { connect, type RawClient } from "../../support/client.ts";

/** One frame of HTTP/2 (RFC 9113, section 4.1). */
export interface Frame {
  readonly type: "DATA" | "HEADERS" | "RST_STREAM" | "SETTINGS" | "PING" | "GOAWAY" | "other";
  readonly flags: number;
  readonly stream: number;
  readonly payload: string;
}

const TYPES: Record<number, Frame["type"]> = {
  0: "DATA",
  1: "HEADERS",
  3: "RST_STREAM",
  4: "SETTINGS",
  6: "PING",
  7: "GOAWAY",
};
const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE] = [0, 1, 3, 4, 6, 7, 8];
const INITIAL_WINDOW_SIZE = "\x04";
const [ACK, END_STREAM, END_HEADERS] = [1, 1, 4];
/** Of the static table: the methods. */
const [GET, POST] = ["\x82", "\x83"];

interface Options {
  /** How many bytes of each response may come before the client makes room. */
  window?: number;
  plain?: boolean;
  /** Leaves the server's PINGs to {@linkcode Http2Client.answerPing}. */
  holdsPings?: boolean;
}

/** An HTTP/2 client that goes on where those of the runtimes stop: behind a GOAWAY. */
export class Http2Client {
  readonly #client: RawClient;
  readonly #holdsPings: boolean;
  /** What has come, but for what is answered by itself. */
  readonly frames: Frame[] = [];
  /** Resolves when the server has ended the connection. */
  readonly ended: Promise<void>;
  #wake = Promise.withResolvers<void>();

  private constructor(client: RawClient, window: number, holdsPings: boolean) {
    this.#client = client;
    this.#holdsPings = holdsPings;
    client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    this.#send(SETTINGS, 0, 0, "\0" + INITIAL_WINDOW_SIZE + uint32(window));
    // Where a frame breaks off the connection has ended.
    this.ended = this.#read().catch(() => {});
  }

  /** Over TLS, unless it is `plain`. */
  static async connect(
    addr: Addr,
    { window = 65_535, plain = false, holdsPings = false }: Options = {},
  ): Promise<Http2Client> {
    return new Http2Client(await connect(addr, plain ? {} : { alpn: "h2" }), window, holdsPings);
  }

  /** Over a connection that exists. */
  static over(client: RawClient): Http2Client {
    return new Http2Client(client, 65_535, false);
  }

  /** Asks for a path, of one byte for each character, on a stream. */
  get(stream: number, path: string): void {
    this.#send(HEADERS, END_STREAM | END_HEADERS, stream, GET + target(path));
  }

  /** Begins an upload to a path, of one byte for each character, on a stream. */
  post(stream: number, path: string): void {
    this.#send(HEADERS, END_HEADERS, stream, POST + target(path));
  }

  /** Sends a piece of an upload, which must fit into a frame and into the window of the server. */
  upload(stream: number, piece: string): void {
    this.#send(DATA, 0, stream, piece);
  }

  /** The number of bytes that have come. */
  get bytesReceived(): number {
    return this.#client.socket.bytesRead;
  }

  /** Gives a stream up with a code of RFC 9113, section 7: with NO_ERROR, as the client of Node does, by default. */
  reset(stream: number, code = 0): void {
    this.#send(RST_STREAM, 0, stream, uint32(code));
  }

  /** Lets more of a response come; on stream 0, of all together. */
  makeRoom(stream: number, bytes: number): void {
    this.#send(WINDOW_UPDATE, 0, stream, uint32(bytes));
  }

  /** Waits for a frame, which may have come already. */
  async receives(is: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const frame = this.frames.find(is);
      if (frame !== undefined) return frame;
      await this.#wake.promise;
    }
  }

  /** Resolves when the server has read what was sent before. */
  async pong(): Promise<void> {
    this.#send(PING, 0, 0, "12345678");
    await this.receives(({ type, flags }) => type === "PING" && flags === ACK);
  }

  /** Waits for a PING of the server's, and answers it: what was sent before has been read by then. */
  async answerPing(): Promise<void> {
    const { payload } = await this.receives(({ type, flags }) => type === "PING" && flags === 0);
    this.#send(PING, ACK, 0, payload);
  }

  /** Sends GOAWAY, as a client does that has been sent it and begins no more streams. */
  goAway(): void {
    // No stream of the server's has been processed; NO_ERROR.
    this.#send(GOAWAY, 0, 0, uint32(0) + uint32(0));
  }

  /** What has come of a response. */
  body(stream: number): string {
    return this.frames.filter((frame) => frame.type === "DATA" && frame.stream === stream)
      .map(({ payload }) => payload).join("");
  }

  /** Reads no more, and so does not see the server's end. */
  pause(): void {
    this.#client.socket.pause();
  }

  resume(): void {
    this.#client.socket.resume();
  }

  vanish(): void {
    this.#client.socket.destroy();
  }

  #send(type: number, flags: number, stream: number, payload: string): void {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    this.#client.socket.write(Buffer.concat([head, Buffer.from(payload, "latin1")]));
  }

  async #read(): Promise<void> {
    for (;;) {
      const head = Buffer.from(await this.#client.bytes(9), "latin1");
      const payload = await this.#client.bytes(head.readUIntBE(0, 3));
      const [type, flags] = [head[3]!, head[4]!];
      const isAnswered = type === SETTINGS || (type === PING && !this.#holdsPings);
      if (isAnswered && (flags & ACK) === 0) {
        this.#send(type, ACK, 0, type === PING ? payload : "");
        continue;
      }
      const stream = head.readUInt32BE(5);
      this.frames.push({ type: TYPES[type] ?? "other", flags, stream, payload });
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    }
  }
}

/** The scheme https, which is in the static table, and literals for the rest (RFC 7541, section 6.2.2). */
function target(path: string): string {
  const literal = (name: number, value: string) => String.fromCharCode(name, value.length) + value;
  return "\x87" + literal(4, path) + literal(1, "localhost");
}

/** In the order of the network, a character for each byte. */
function uint32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString("latin1");
}
