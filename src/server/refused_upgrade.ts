/** Returns whether a request asks for a WebSocket. A server may ignore that other protocols are asked for. */
export function isUpgrade(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}

/** Makes the answer to what comes too late: an upgrade during a drain, a request that is cut off. */
export function unavailable(): Response {
  return new Response("Service Unavailable", { status: 503 });
}
