/** The fetch handler of all servers that take one. */
import { pass } from "./gate.ts";
import { GREETING, PIECES } from "./payload.ts";

/** Answers by the end of the path: `/`, `/upload`, `/stream` or `/wait`. */
export function answer(request: Request): Response | Promise<Response> {
  const { url } = request;
  if (url.endsWith("/")) return new Response(GREETING);
  if (url.endsWith("/upload")) {
    return request.text().then((body) => new Response(String(body.length)));
  }
  if (url.endsWith("/stream")) return new Response(stream());
  return pass().then(() => new Response(GREETING));
}

function stream(): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      const piece = PIECES[sent++];
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
  });
}
