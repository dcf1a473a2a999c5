/** Counts the responses in what a server sends: with a `Content-Length`, or in chunks. */
export class ResponseCounter {
  readonly #onResponse: () => void;
  /** Whether the last head says that the server closes the connection. */
  isLast = false;
  /** What has come and is not consumed, one character a byte. */
  #received = "";
  /** What is being read: a head, a body of so many more bytes, or a body in chunks. */
  #reading: "head" | "chunks" | number = "head";

  constructor(onResponse: () => void) {
    this.#onResponse = onResponse;
  }

  /** Takes more of what the server sends, decoded as Latin-1. */
  push(bytes: string): void {
    this.#received += bytes;
    while (this.#step());
  }

  /** Whether there was enough to go on with. */
  #step(): boolean {
    if (this.#reading === "head") return this.#readHead();
    if (this.#reading === "chunks") return this.#readChunk();
    return this.#readBody(this.#reading);
  }

  #readHead(): boolean {
    const head = this.#take("\r\n\r\n");
    if (head === undefined) return false;
    if (!head.startsWith("HTTP/1.1 200 ")) {
      throw new Error(
        `The server has answered with "${head.split("\r\n", 1)[0]}"`,
      );
    }
    this.isLast = /\r\nconnection: *close/i.test(head);
    this.#reading = bodyOf(head);
    return true;
  }

  #readBody(length: number): boolean {
    if (this.#received.length < length) return false;
    this.#received = this.#received.slice(length);
    this.#finish();
    return true;
  }

  #readChunk(): boolean {
    const lineEnd = this.#received.indexOf("\r\n");
    if (lineEnd < 0) return false;
    const size = Number.parseInt(this.#received.slice(0, lineEnd), 16);
    // Each chunk ends with a line end; the last one is empty, and nobody here sends trailers.
    const end = lineEnd + 2 + size + 2;
    if (this.#received.length < end) return false;
    this.#received = this.#received.slice(end);
    if (size === 0) this.#finish();
    return true;
  }

  #finish(): void {
    this.#reading = "head";
    this.#onResponse();
  }

  /** Consumes up to the mark and returns what comes before it. */
  #take(mark: string): string | undefined {
    const end = this.#received.indexOf(mark);
    if (end < 0) return undefined;
    const taken = this.#received.slice(0, end);
    this.#received = this.#received.slice(end + mark.length);
    return taken;
  }
}

function bodyOf(head: string): "chunks" | number {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) return Number(length);
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) return "chunks";
  throw new Error(`The end of a response is not told: ${head}`);
}
