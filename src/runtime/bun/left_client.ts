/**
 * Returns whether an error of a handler only says that its client has left. Bun aborts the signal and the body of the
 * request with this error.
 */
export function saysClientLeft({ name, message }: Error): boolean {
  return name === "AbortError" && message === "The connection was closed.";
}
