/**
 * Returns whether an error of a handler only says that its client has left in the middle of an upload. Deno has two
 * such errors, for a body with a length and one in chunks, and no other sign: the signal of the request does not abort.
 */
export function saysClientLeft({ name, message }: Error): boolean {
  return (name === "Http" && message.startsWith("unexpected EOF while reading")) ||
    (name === "BadResource" && message.startsWith("Cannot read body"));
}
