/**
 * Returns whether an error of a handler only says that its client has left in the middle of an upload. Deno has three
 * such errors: for a body with a length, for a body in chunks, and for HTTP/2. There is no other sign: the signal of
 * the request does not abort.
 */
export function saysClientLeft({ name, message }: Error): boolean {
  const ofHttp = ["unexpected EOF while reading", "error reading a body from connection"];
  return (name === "Http" && ofHttp.some((start) => message.startsWith(start))) ||
    (name === "BadResource" && message.startsWith("Cannot read body"));
}
