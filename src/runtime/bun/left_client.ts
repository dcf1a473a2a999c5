/**
 * Returns whether an error of a handler only says that its client has left, which is the reason with which Bun aborts
 * the signal of the request and its body.
 */
export function saysClientLeft({ name, message }: Error): boolean {
  return name === "AbortError" && message === "The connection was closed.";
}
