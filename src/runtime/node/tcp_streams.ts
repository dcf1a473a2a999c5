/**
 * The two sides of a socket as web streams. Node's own `Duplex.toWeb` is unsuitable: it destroys the socket
 * when its reader stops early, before the response is written, and does not report which data has been
 * sent.
 */
import type { Buffer } from "node:buffer";
import type net from "node:net";
import { refuse } from "../../options/checks.ts";

/** The number of bytes that are read ahead, and that may wait to be sent before a writer has to wait. */
const HIGH_WATER = 64 * 1024;

/** The incoming data of a socket as a stream. Data is read ahead even if nobody reads the stream. */
export class Incoming {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #socket: net.Socket;
  /** The controller of the stream; undefined once the stream has ended, when incoming data is discarded. */
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;

  /**
   * Creates the stream of a socket. `onBytes` is called when data has arrived, before the stream receives
   * the data.
   */
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

  /** Ends the stream after the data that has arrived. */
  end(): void {
    this.#controller?.close();
    this.drop();
  }

  /** Makes the stream fail with a reason, unless the stream has ended. */
  fail(reason: unknown): void {
    this.#controller?.error(reason);
    this.#controller = undefined;
  }

  /** Keeps reading the socket, to notice its end, and discards the data. */
  drop(): void {
    this.#controller = undefined;
    this.#socket.resume();
  }
}

/** The outgoing data of a socket as a stream. */
export class Outgoing {
  readonly stream: WritableStream<Uint8Array>;
  #controller: WritableStreamDefaultController | undefined;
  /** The number of written chunks that the operating system has not accepted yet. */
  #unsent = 0;
  /** Whether nothing can be written to the stream any more. */
  #isOver = false;
  /** Rejects the pending write or close. The stream does not fail before that call has settled. */
  #cut = (_reason: unknown): void => {};

  /** Creates the stream of a socket. `onSent` is called when all written data has been sent. */
  constructor(socket: net.Socket, onSent: () => void) {
    this.stream = new WritableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      write: (chunk) =>
        this.#call((done) =>
          socket.write(chunk, (error) => {
            // The "close" event of the socket follows and reports the reason.
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

  /**
   * Whether the operating system has accepted all written data, or the remaining data will never be sent.
   */
  get isSent(): boolean {
    return this.#isOver || this.#unsent === 0;
  }

  /** Makes all further writes fail with a reason. */
  end(reason: unknown): void {
    this.#isOver = true;
    this.#controller?.error(reason);
  }

  /** Makes all further writes and the pending write or close fail with a reason. */
  fail(reason: unknown): void {
    this.end(reason);
    this.#cut(reason);
  }

  /**
   * Returns the size of a chunk. The stream calls this first for each written chunk, so chunks are counted
   * here.
   */
  #sizeOf(chunk: unknown): number {
    if (chunk instanceof Uint8Array) {
      this.#unsent++;
      return chunk.byteLength;
    }
    // The error also discards the chunks that are queued before this chunk.
    this.#isOver = true;
    refuse("write as 'chunk'", "a Uint8Array", chunk);
  }

  /**
   * Starts a call on the socket. Resolves when the call is done, and rejects if the stream fails before.
   */
  #call(start: (done: () => void) => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#cut = reject;
    start(resolve);
    return promise;
  }
}
