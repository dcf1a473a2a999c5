/** A WebSocket as `Bun.serve` has it, of which more is in Bun's own types. */
export interface ServerWebSocket {
  /** What was given to `server.upgrade` as `data`. */
  data: unknown;
  /** The state, as `readyState` of a `WebSocket` has it. */
  readonly readyState: number;
  /** The client's address. */
  readonly remoteAddress: string;
  /** Sends a message; -1 if it waits for the client to read, 0 if it was dropped. */
  send(message: string | ArrayBuffer | ArrayBufferView, compress?: boolean): number;
  /** Closes it with a code and a reason. */
  close(code?: number, reason?: string): void;
  /** Cuts it off. */
  terminate(): void;
  /** Gets what is published to a topic from now on. */
  subscribe(topic: string): unknown;
  /** No longer gets it. */
  unsubscribe(topic: string): unknown;
  /** Sends a message to all others that have subscribed to a topic. */
  publish(
    topic: string,
    message: string | ArrayBuffer | ArrayBufferView,
    compress?: boolean,
  ): number;
}

/**
 * What `Bun.serve` takes as its `websocket`: the handlers of all WebSockets of a server, and options.
 * The defaults are Bun's.
 */
export interface WebSocketHandlers {
  /** Called for each message. */
  message(socket: ServerWebSocket, message: string | Uint8Array): unknown;
  /** Called when one is open. */
  open?(socket: ServerWebSocket): unknown;
  /** Called when one that could not take more can. */
  drain?(socket: ServerWebSocket): unknown;
  /** Called when one is closed: at the start of a drain all are, with 1001. */
  close?(socket: ServerWebSocket, code: number, reason: string): unknown;
  /** Called when a ping has come. */
  ping?(socket: ServerWebSocket, data: Uint8Array): unknown;
  /** Called when a pong has come. */
  pong?(socket: ServerWebSocket, data: Uint8Array): unknown;
  /** The largest message, in bytes. */
  maxPayloadLength?: number;
  /** How many bytes may wait for a client to read. */
  backpressureLimit?: number;
  /** Whether one is closed whose client does not read. */
  closeOnBackpressureLimit?: boolean;
  /** After how many seconds of silence one is closed. */
  idleTimeout?: number;
  /** Whether Bun sends pings. */
  sendPings?: boolean;
  /** Whether one gets what it publishes itself. */
  publishToSelf?: boolean;
  /** Compression (RFC 7692). */
  perMessageDeflate?: boolean | object;
}
