/** Returns the response to a request whose body cannot be received. */
export function badRequest(): Response {
  return new Response("Bad Request", { status: 400 });
}

/**
 * Returns the response with `Connection: close`, which says that the connection ends after the response.
 * HTTP/2 has no such header, and runtimes drop it there.
 */
export function sayingClose(response: Response): Response {
  try {
    response.headers.set("connection", "close");
    return response;
  } catch {
    // The headers of responses that Response.redirect() and fetch() return cannot be changed.
    const { status, statusText, body } = response;
    const headers = new Headers(response.headers);
    headers.set("connection", "close");
    return new Response(body, { status, statusText, headers });
  }
}
