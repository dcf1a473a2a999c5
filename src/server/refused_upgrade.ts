/**
 * Returns whether a request with this header `upgrade` asks for a WebSocket. A server may ignore requests for
 * other protocols.
 */
export function isUpgrade(header: string | null): boolean {
  return header?.toLowerCase() === "websocket";
}

/** Returns the response to a request that comes too late: an upgrade during a drain, or a cut-off request. */
export function unavailable(): Response {
  return new Response("Service Unavailable", { status: 503 });
}
