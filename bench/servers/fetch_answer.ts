/** The fetch handler of all servers that take one. */
import { pass } from "./gate.ts";
import { GREETING, PIECES } from "./payload.ts";

/** Answers with the global `Response`, which \@hono/node-server replaces when it starts. */
export function answer(request: Request): Response | Promise<Response> {
  return answerWith(Response, request);
}

/** Answers with a class of responses by the end of the path: `/`, `/upload`, `/stream` or `/wait`. */
export function answerWith(
  ResponseClass: typeof Response,
  request: Request,
): Response | Promise<Response> {
  const { url } = request;
  if (url.endsWith("/")) return new ResponseClass(GREETING);
  if (url.endsWith("/upload")) {
    return request.text().then((body) => new ResponseClass(String(body.length)));
  }
  if (url.endsWith("/stream")) return new ResponseClass(stream());
  return pass().then(() => new ResponseClass(GREETING));
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
