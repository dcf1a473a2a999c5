/** A WebSocket as `Bun.serve` has it, of which more is in Bun's own types. */
export interface ServerWebSocket {
  /** The `data` that was given to `server.upgrade`. */
  data: unknown;
  /** The state, as `readyState` of a `WebSocket` has it. */
  readonly readyState: number;
  /** The client's address. */
  readonly remoteAddress: string;
  /** Sends a message; -1 if it waits for the client to read, 0 if it was dropped. */
  send(message: string | ArrayBuffer | ArrayBufferView, compress?: boolean): number;
  /** Closes it with a code and a reason. */
  close(code?: number, reason?: string): void;
  /** Cuts the connection off. */
  terminate(): void;
  /** Subscribes to what is published to a topic. */
  subscribe(topic: string): unknown;
  /** Ends the subscription to a topic. */
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
  /** Called when a WebSocket is open. */
  open?(socket: ServerWebSocket): unknown;
  /** Called when a WebSocket that could take no more can take more again. */
  drain?(socket: ServerWebSocket): unknown;
  /** Called when a WebSocket is closed. At the start of a drain all are closed, with 1001. */
  close?(socket: ServerWebSocket, code: number, reason: string): unknown;
  /** Called when a ping has come. */
  ping?(socket: ServerWebSocket, data: Uint8Array): unknown;
  /** Called when a pong has come. */
  pong?(socket: ServerWebSocket, data: Uint8Array): unknown;
  /** The largest message, in bytes. */
  maxPayloadLength?: number;
  /** The number of bytes that may wait for a client to read. */
  backpressureLimit?: number;
  /** Whether to close a WebSocket whose client does not read. */
  closeOnBackpressureLimit?: boolean;
  /** The number of seconds of silence after which a WebSocket is closed. */
  idleTimeout?: number;
  /** Whether Bun sends pings by itself. */
  sendPings?: boolean;
  /** Whether a WebSocket gets what it publishes itself. */
  publishToSelf?: boolean;
  /** The compression of messages (RFC 7692). */
  perMessageDeflate?: boolean | object;
}
