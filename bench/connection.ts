import { connect, type Socket } from "node:net";
import { ResponseCounter } from "./response_counter.ts";

/** One connection of a client, by hand over `node:net`, with one request at a time. */
export class Connection {
  readonly opened: Promise<void>;
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #counter: ResponseCounter;
  #answer: PromiseWithResolvers<void> | undefined;

  /** Connects to a port of this machine, from the address if there is one. */
  constructor(port: number, localAddress?: string) {
    const socket = connect({
      port,
      host: "127.0.0.1",
      noDelay: true,
      localAddress,
    });
    this.opened = new Promise((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.once("error", reject);
    });
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    this.#counter = new ResponseCounter(() => this.#onAnswer());
    socket.on("data", (chunk) => this.#counter.push(chunk.toString("latin1")));
    // The end of the connection tells of an error too.
    socket.on("error", () => {});
    socket.once("close", () => {
      this.#answer?.reject(
        new Error("The server has closed the connection of a request"),
      );
    });
    this.#socket = socket;
  }

  /** Whether the server has ended the connection, or has said that it will. */
  get isOver(): boolean {
    return this.#counter.isLast || this.#socket.readableEnded ||
      this.#socket.destroyed;
  }

  /** Sends a request and resolves with the end of its response. */
  answerTo(request: string): Promise<void> {
    this.#answer = Promise.withResolvers();
    this.#socket.write(request, "latin1");
    return this.#answer.promise;
  }

  #onAnswer(): void {
    if (this.#answer === undefined) {
      throw new Error("A response has come without a request");
    }
    this.#answer.resolve();
    this.#answer = undefined;
  }

  close(): void {
    this.#socket.destroy();
  }
}
