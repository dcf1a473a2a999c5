import { Buffer } from "node:buffer";
import { once } from "node:events";
import net from "node:net";

/** For how long a server may say nothing, in ms, when it has something to say. */
const PATIENCE = 5_000;

/** The head of a response. */
export interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
}

/**
 * An HTTP/1.1 client on a bare TCP connection, which can stop anywhere in a request, and sees
 * whether a response is complete and how its connection ends.
 */
export class Connection {
  readonly #socket: net.Socket;
  readonly #received: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#received = socket[Symbol.asyncIterator]();
    // Errors are thrown to who reads. This is for those that come while nobody does.
    socket.on("error", () => {});
    socket.on("timeout", () => socket.destroy(new Error("still open, and silent")));
    socket.setTimeout(PATIENCE);
  }

  static async open(port: number): Promise<Connection> {
    const socket = net.connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    return new Connection(socket);
  }

  send(...parts: string[]): void {
    for (const part of parts) this.#socket.write(part);
  }

  async head(): Promise<Head> {
    const status = Number((await this.#line()).split(" ")[1]);
    const headers = new Map<string, string>();
    for (let line = await this.#line(); line !== ""; line = await this.#line()) {
      const colon = line.indexOf(":");
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    return { status, headers };
  }

  /** The body in the pieces in which it is read. Throws if the connection ends before it does. */
  async *body({ headers }: Head): AsyncGenerator<Buffer> {
    if (headers.get("transfer-encoding") !== "chunked") {
      yield* this.#take(Number(headers.get("content-length")));
      return;
    }
    for (let size = -1; size !== 0;) {
      size = Number.parseInt(await this.#line(), 16);
      yield* this.#take(size);
      await this.#line();
    }
  }

  async text(head: Head): Promise<string> {
    return Buffer.concat(await Array.fromAsync(this.body(head))).toString();
  }

  /**
   * Resolves when the server has closed the connection, with nothing more sent on it. Throws if it
   * has not `within` so many milliseconds.
   */
  async closed(within: number = 1_000): Promise<void> {
    this.#socket.setTimeout(within);
    if (this.#rest.length > 0 || await this.#receive()) throw new Error("more than the response");
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async *#take(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0;) {
      if (this.#rest.length === 0) await this.#receiveMore();
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  async #line(): Promise<string> {
    let end: number;
    while ((end = this.#rest.indexOf("\r\n")) < 0) await this.#receiveMore();
    const line = this.#rest.toString("latin1", 0, end);
    this.#rest = this.#rest.subarray(end + 2);
    return line;
  }

  async #receiveMore(): Promise<void> {
    if (!await this.#receive()) throw new Error("closed before the end of the response");
  }

  /** Whether anything came before the end of the connection. */
  async #receive(): Promise<boolean> {
    const { done, value } = await this.#received.next();
    if (done) return false;
    this.#rest = this.#rest.length === 0 ? value : Buffer.concat([this.#rest, value]);
    return true;
  }
}
