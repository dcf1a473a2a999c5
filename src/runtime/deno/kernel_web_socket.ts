import { WebSocketLife } from "../../server/web_socket_life.ts";
import type { Client } from "./clients.ts";
import type { KernelConnection } from "./kernel_connection.ts";
import type { KernelExchange } from "./kernel_exchange.ts";

/**
 * The number of ms after which a WebSocket that has not opened is given up: its client has left, which Deno
 * does not report.
 */
const OPENING = 1_000;

/** The functions that {@linkcode followWebSocket} calls for each connection of the client. */
export interface KernelWebSocketEvents {
  /** Called when the WebSocket has opened. */
  onOpen(conn: KernelConnection): void;
  /** Called when the WebSocket has closed, or will not open. */
  onGone(conn: KernelConnection): void;
}

/** Records the WebSocket that a request has become, until the WebSocket has closed or its client has left. */
export function followWebSocket(
  socket: WebSocket,
  exchange: KernelExchange,
  client: Client<KernelConnection>,
  { onOpen, onGone }: KernelWebSocketEvents,
): void {
  client.webSockets.add(socket);
  const life = new WebSocketLife();
  exchange.webSocketLife = life;
  const end = () => {
    client.webSockets.delete(socket);
    life.end();
    for (const conn of client.conns) onGone(conn);
  };
  const endUnlessOpen = () => {
    if (socket.readyState === WebSocket.CONNECTING) end();
  };
  socket.addEventListener("open", () => {
    for (const conn of client.conns) onOpen(conn);
  });
  socket.addEventListener("close", end);
  const onDelivered = () => void setTimeout(endUnlessOpen, OPENING).unref();
  exchange.native.completed.then(onDelivered, endUnlessOpen);
}
