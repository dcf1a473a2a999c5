/**
 * What this package uses of srvx beyond its public API. The members are part of srvx 1.0.8, the version that
 * `package.json` and `deno.json` pin.
 */

/**
 * Returns whether a response is a `FastResponse` of srvx, whose content only srvx can read without creating the
 * native object.
 *
 * Without it: false. The response is sent like any other one, which costs more.
 */
export function isFastResponse(response: Response): boolean {
  return "_toNodeResponse" in response;
}

/**
 * Returns the native object of a handler's request, and any other input of `fetch` unchanged.
 *
 * Without it: the request itself, which Node's own `fetch` refuses.
 */
export function nativeOf(input: RequestInfo | URL): RequestInfo | URL {
  if (typeof input !== "object" || input === null || !("_request" in input)) return input;
  // The cast: srvx keeps the native object there, and creates it at the first read.
  return input._request as Request;
}
