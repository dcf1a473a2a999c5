/**
 * A WebSocket of the engine "bun", with some of its members. Bun's own types have more. `Data` is the type of
 * the `data` that was given to `server.upgrade`.
 */
export interface ServerWebSocket<Data = unknown> {
  /** The `data` that was given to `server.upgrade`. */
  data: Data;
  /** The state of the connection, with the values of `WebSocket.readyState`. */
  readonly readyState: 0 | 1 | 2 | 3;
  /** The client's address. */
  readonly remoteAddress: string;
  /**
   * Sends a message. Returns -1 if the message waits for the client to read, 0 if the message was dropped.
   */
  send(message: string | ArrayBuffer | Uint8Array | DataView, compress?: boolean): number;
  /** Closes the connection with a code and a reason. */
  close(code?: number, reason?: string): void;
  /** Cuts the connection off. */
  terminate(): void;
  /** Subscribes this WebSocket to a topic. */
  subscribe(topic: string): unknown;
  /** Ends the subscription of this WebSocket to a topic. */
  unsubscribe(topic: string): unknown;
  /** Sends a message to all other subscribers of a topic. */
  publish(
    topic: string,
    message: string | ArrayBuffer | Uint8Array | DataView,
    compress?: boolean,
  ): number;
}

/**
 * The handlers of all WebSockets of a server on the engine "bun", and their options. The defaults are Bun's.
 */
export interface WebSocketHandlers<Data = unknown> {
  /** Tells the type checker the type of the `data` of each WebSocket. The value is not used. */
  data?: Data;
  /** Called when a message has arrived. */
  message?(socket: ServerWebSocket<Data>, message: string | Uint8Array): unknown;
  /** Called when a WebSocket is open. */
  open?(socket: ServerWebSocket<Data>): unknown;
  /** Called when a WebSocket whose buffer was full accepts messages again. */
  drain?(socket: ServerWebSocket<Data>): unknown;
  /**
   * Called when a WebSocket has closed. A drain closes each WebSocket that is still open when the
   * functions of `onShutdown` have settled, with the code of the option `hijacked`, or else 1001.
   */
  close?(socket: ServerWebSocket<Data>, code: number, reason: string): unknown;
  /** Called when a ping has arrived. */
  ping?(socket: ServerWebSocket<Data>, data: Uint8Array): unknown;
  /** Called when a pong has arrived. */
  pong?(socket: ServerWebSocket<Data>, data: Uint8Array): unknown;
  /** The size of the largest message, in bytes. */
  maxPayloadLength?: number;
  /** The number of bytes that may wait for a client to read. */
  backpressureLimit?: number;
  /** Whether to close a WebSocket whose client does not read. */
  closeOnBackpressureLimit?: boolean;
  /** The number of seconds of silence after which a WebSocket is closed. */
  idleTimeout?: number;
  /** Whether Bun sends pings on its own. */
  sendPings?: boolean;
  /** Whether a WebSocket also receives the messages that the WebSocket itself publishes. */
  publishToSelf?: boolean;
  /** The compression of messages (RFC 7692). */
  perMessageDeflate?: boolean | object;
}
