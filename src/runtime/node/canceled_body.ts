import process from "node:process";
import type { Readable } from "node:stream";
import type { Exchange } from "./protocol.ts";

/**
 * Makes the body of a request end where its handler cancels it. Deno's `Readable.toWeb` passes on what a request emits
 * after its stream was canceled, as it does if the body had been asked for just before. The closed stream throws then,
 * outside of every handler, which would end the process.
 */
export function endAtCancel(req: Exchange["req"]): void {
  if (!("deno" in process.versions) || req.method === "GET" || req.method === "HEAD") return;
  const stream: Readable = req;
  const destroy = stream.destroy.bind(stream);
  stream.destroy = (error) => {
    stream.pause();
    return destroy(error);
  };
}
