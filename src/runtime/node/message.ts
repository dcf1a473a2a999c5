/** The parts of a fetch `Response`, in the form that Node takes. */
export interface Message {
  readonly status: number;
  readonly statusText: string;
  /** Names and values in turn. The names are in lower case. */
  readonly headers: string[];
  readonly body: string | Uint8Array | ReadableStream<Uint8Array> | null;
  /** The length of a streamed body in bytes, if the length is known before the body is read. */
  readonly length?: number | undefined;
}

/** Returns the names and values of headers in turn. */
export function flatten(headers: Headers): string[] {
  const flat: string[] = [];
  for (const [name, value] of headers) flat.push(name, value);
  return flat;
}
