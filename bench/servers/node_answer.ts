/** The listener of `node:http` that every server of such a listener has. It answers like the fetch handler. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pass } from "./gate.ts";
import { GREETING, PIECES } from "./payload.ts";

/** Answers by the path: `/`, `/upload`, `/stream` or `/wait`. */
export function answer(
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (request.url === "/") response.end(GREETING);
  else if (request.url === "/upload") answerUpload(request, response);
  else if (request.url === "/stream") stream(response);
  else pass().then(() => response.end(GREETING));
}

function answerUpload(
  request: IncomingMessage,
  response: ServerResponse,
): void {
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (text: string) => body += text);
  request.on("end", () => response.end(String(body.length)));
}

function stream(response: ServerResponse): void {
  for (const piece of PIECES) response.write(piece);
  response.end();
}
