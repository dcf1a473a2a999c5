/** Makes the answer to a request whose body cannot be received. */
export function badRequest(): Response {
  return new Response("Bad Request", { status: 400 });
}

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
