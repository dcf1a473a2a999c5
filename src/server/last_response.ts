/** Whether a request asks for a WebSocket. Of other protocols a server may ignore that it is asked. */
export function isUpgrade(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}

/** What is answered to what comes too late: an upgrade during a drain. */
export function unavailable(): Response {
  return new Response("Service Unavailable", { status: 503 });
}

/** What is answered to a request whose body cannot be received. */
export function badRequest(): Response {
  return new Response("Bad Request", { status: 400 });
}

/** For how many ms a client may go on sending an upload that is answered unread: Go's figure. */
export const LINGER = 500;

/**
 * The same response, saying that it is the last of its connection. With HTTP/2, which has no such
 * header, runtimes drop it.
 */
export function sayingClose(response: Response): Response {
  try {
    response.headers.set("connection", "close");
    return response;
  } catch {
    // The headers of what Response.redirect() and fetch() return cannot be changed.
    const { status, statusText, body } = response;
    const headers = new Headers(response.headers);
    headers.set("connection", "close");
    return new Response(body, { status, statusText, headers });
  }
}
