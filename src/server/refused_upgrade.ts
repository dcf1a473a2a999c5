/**
 * Returns whether the value of a request's `upgrade` header asks for a WebSocket. A server may ignore
 * requests for other protocols.
 */
export function isUpgrade(header: string | null): boolean {
  return header?.toLowerCase() === "websocket";
}

/** Returns the response to a request that comes too late: an upgrade during a drain, or a cut-off request. */
export function unavailable(): Response {
  return new Response("Service Unavailable", { status: 503 });
}
