/**
 * One connection of the load client: HTTP/1.1 by hand over `node:net`, because only so is it known
 * what was on the wire when a connection ended. It retries nothing.
 */
import { connect, type Socket } from "node:net";
import { RequestFailure } from "./tally.ts";

/** How long a response may be silent, in ms. */
const SILENCE = 10_000;

/** A request that waits for its response. */
interface Waiting {
  readonly path: string;
  resolve(pid: number): void;
  reject(failure: RequestFailure): void;
}

/** A connection to a server on this machine, with one request at a time. */
export class Connection {
  readonly #socket: Socket;
  #connected = false;
  #usable = true;
  #responses = 0;
  /** What has come of the next response, one character a byte. */
  #received = "";
  #waiting: Waiting | undefined;

  constructor(port: number) {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    socket.setEncoding("latin1");
    socket.setTimeout(SILENCE);
    socket.once("connect", () => this.#connected = true);
    // The cast: with an encoding it emits strings.
    socket.on("data", (text) => this.#onData(text as unknown as string));
    socket.once("end", () => this.#onEnd("cut", "the connection has ended"));
    socket.once(
      "timeout",
      () => this.#onEnd("timeout", `nothing has come for ${SILENCE} ms`),
    );
    socket.once(
      "error",
      (error: NodeJS.ErrnoException) => this.#onError(error),
    );
    this.#socket = socket;
  }

  /** Whether it can take another request, as far as its client can know. */
  get usable(): boolean {
    return this.#usable;
  }

  /** Sends a request, and resolves with the process that has answered it. */
  ask(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting = { path, resolve, reject };
      this.#socket.write(
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`,
        "latin1",
      );
    });
  }

  close(): void {
    this.#usable = false;
    this.#socket.destroy();
  }

  #onData(text: string): void {
    this.#received += text;
    if (this.#waiting === undefined) {
      return this.#fail("wrong", "it was sent without a request");
    }
    const bodyAt = this.#received.indexOf("\r\n\r\n") + 4;
    if (bodyAt < 4) return;
    const head = this.#received.slice(0, bodyAt);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) {
      return this.#fail("wrong", "it has no content-length");
    }
    if (this.#received.length < bodyAt + Number(length)) return;
    this.#onResponse(head, this.#received.slice(bodyAt), this.#waiting);
  }

  /** A complete response. Its body is `<pid> <path>`. */
  #onResponse(head: string, body: string, { path, resolve }: Waiting): void {
    if (!head.startsWith("HTTP/1.1 200 ")) {
      return this.#fail("status", "it is not 200");
    }
    const [pid, answered] = body.split(" ");
    if (answered !== path || !(Number(pid) > 0)) {
      return this.#fail("wrong", `it is not of ${path}`);
    }
    if (/\r\nconnection: *close/i.test(head)) this.#usable = false;
    this.#waiting = undefined;
    this.#received = "";
    this.#responses++;
    resolve(Number(pid));
  }

  #onError(error: NodeJS.ErrnoException): void {
    const isReset = this.#connected || error.code === "ECONNRESET";
    if (isReset) return this.#onEnd("reset", error.message);
    this.#fail(
      error.code === "ECONNREFUSED" ? "refused" : "connect",
      error.message,
    );
  }

  /** The connection has ended in this way: without a request in flight, nothing is lost by that. */
  #onEnd(kind: "cut" | "reset" | "timeout", message: string): void {
    const isCrossed = this.#responses > 0 && this.#received === "" &&
      kind !== "timeout";
    this.#fail(isCrossed ? "crossed" : kind, message);
  }

  /** Gives the connection up, and the request in flight with it. */
  #fail(kind: RequestFailure["kind"], message: string): void {
    this.close();
    const start = this.#received === "" ? "" : `; received: ${this.#received.slice(0, 200)}`;
    this.#waiting?.reject(
      new RequestFailure(kind, `${message} (${this.#describe()})${start}`),
    );
    this.#waiting = undefined;
  }

  #describe(): string {
    return `${this.#waiting?.path}, response ${this.#responses + 1} of its connection`;
  }
}
