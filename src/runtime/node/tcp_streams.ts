/**
 * The two sides of a socket as streams. Node's own `Duplex.toWeb` destroys the socket when its
 * reader stops early, with the answer that is yet to be written; and it does not tell what has been
 * sent.
 */
import type { Buffer } from "node:buffer";
import type net from "node:net";
import { refuse } from "../../options/checks.ts";

/** In bytes: how much is read ahead, and how much may wait to be sent before a writer is held up. */
const HIGH_WATER = 64 * 1024;

/** What comes over a socket, read ahead whether or not anybody reads the stream. */
export class Incoming {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #socket: net.Socket;
  /** Undefined once the stream is over, and what comes is dropped. */
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;

  /** `onBytes` is called before the stream has them. */
  constructor(socket: net.Socket, onBytes: () => void) {
    this.#socket = socket;
    this.stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => {
        socket.resume();
      },
      cancel: () => this.drop(),
    }, new ByteLengthQueuingStrategy({ highWaterMark: HIGH_WATER }));
    socket.on("data", (chunk: Buffer<ArrayBuffer>) => {
      if (this.#controller === undefined) return;
      onBytes();
      this.#controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
      if ((this.#controller.desiredSize ?? 0) <= 0) socket.pause();
    });
    socket.on("end", () => this.end());
  }

  /** Ends the stream behind what has come. */
  end(): void {
    this.#controller?.close();
    this.drop();
  }

  fail(reason: unknown): void {
    this.#controller?.error(reason);
    this.#controller = undefined;
  }

  /** Reads on to see the end, and drops what comes. */
  drop(): void {
    this.#controller = undefined;
    this.#socket.resume();
  }
}

/** What is sent over a socket. */
export class Outgoing {
  readonly stream: WritableStream<Uint8Array>;
  #controller: WritableStreamDefaultController | undefined;
  /** How many chunks have been written that the system has not taken yet. */
  #unsent = 0;
  /** Whether nothing can be written any more. */
  #isOver = false;
  /** Ends the call that is under way, for the stream does not fail before that has settled. */
  #cut = (_reason: unknown): void => {};

  /** `onSent` is called when all that was written has been sent. */
  constructor(socket: net.Socket, onSent: () => void) {
    this.stream = new WritableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      write: (chunk) =>
        this.#call((done) =>
          socket.write(chunk, (error) => {
            // The end of the socket follows, which tells why.
            if (error) return;
            this.#unsent--;
            done();
            if (this.isSent) onSent();
          })
        ),
      close: () => {
        this.#isOver = true;
        return this.#call((done) => socket.end(done));
      },
      abort: () => {
        socket.destroy();
      },
    }, { highWaterMark: HIGH_WATER, size: (chunk) => this.#sizeOf(chunk) });
  }

  /** Whether the system has taken all that was written, or what is left will never be sent. */
  get isSent(): boolean {
    return this.#isOver || this.#unsent === 0;
  }

  /** Fails every write from now on. */
  end(reason: unknown): void {
    this.#isOver = true;
    this.#controller?.error(reason);
  }

  fail(reason: unknown): void {
    this.end(reason);
    this.#cut(reason);
  }

  /** The first to be asked about a chunk, when it is written. */
  #sizeOf(chunk: unknown): number {
    if (chunk instanceof Uint8Array) {
      this.#unsent++;
      return chunk.byteLength;
    }
    // What is queued before it goes with it.
    this.#isOver = true;
    refuse("write as 'chunk'", "a Uint8Array", chunk);
  }

  #call(start: (done: () => void) => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#cut = reject;
    start(resolve);
    return promise;
  }
}
