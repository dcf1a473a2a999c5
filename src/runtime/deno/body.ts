/**
 * Deno tells when a response has been delivered only if its body is a stream: one that is at hand
 * whole counts as done once it is handed over, however slowly the client reads, and can then not be
 * cut off any more. So a large body is made a stream. A small one fits the socket's buffer.
 */
import { Buffer } from "node:buffer";

/** In bytes: below what a socket takes at once (Linux begins with about 87 000). */
const SMALL = 65_536;

/** How Deno keeps a body that is at hand, under symbols whose descriptions these are. */
interface Slots {
  readonly fastBody: symbol;
  readonly inner: symbol;
}

type Static = string | Uint8Array;

const slots: Slots | undefined = findSlots();

function findSlots(): Slots | undefined {
  const symbols = Object.getOwnPropertySymbols(new Response("probe"));
  const fastBody = symbols.find((symbol) => symbol.description === "serve fast body");
  const inner = symbols.find((symbol) => symbol.description === "response");
  return fastBody && inner && { fastBody, inner };
}

/** Whether large bodies are recognised on this version of Deno. */
export const seesBodies: boolean = slots !== undefined;

/** Whether Deno will be given the body whole. */
export function isBodyAtHand(response: Response): boolean {
  return slots !== undefined && bodyAtHand(response, slots) !== undefined;
}

/** Makes a large body a stream, in place. */
export function streamLargeBody(response: Response): void {
  if (slots === undefined) return;
  const body = bodyAtHand(response, slots);
  if (body === undefined || body.length <= SMALL) return;
  if (!response.headers.has("content-length")) setLength(response, body);
  // Reading the property is what turns the body into a stream.
  void response.body;
}

function bodyAtHand(response: Response, { fastBody, inner }: Slots): Static | undefined {
  // The cast: the slots have no types; `findSlots` has seen them, and each step may be absent.
  const slotsOf = response as unknown as Record<symbol, Static & InnerResponse | null>;
  return slotsOf[fastBody] ?? slotsOf[inner]?.body?.streamOrStatic?.body;
}

interface InnerResponse {
  readonly body?: { readonly streamOrStatic?: { readonly body?: Static } } | null;
}

/** A stream would go out in chunks. */
function setLength(response: Response, body: Static): void {
  try {
    response.headers.set("content-length", String(Buffer.byteLength(body)));
  } catch {
    // The headers cannot be changed: chunks it is.
  }
}
