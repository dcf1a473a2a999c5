/**
 * What the services of a rolling restart answer: who they are, and all of the request, so that the
 * answer to one cannot be taken for that to another. A path is `/<how>/<number>/<ms>`.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

/** The way in which a request is answered. */
export type How =
  /** As soon as it is there. */
  | "now"
  /** So many milliseconds later. */
  | "late"
  /** One half as soon as it is there, and so many milliseconds later the other half. */
  | "stream";

/** Who has answered. */
export interface Answerer {
  readonly runtime: string;
  readonly pid: number;
}

const runtime = ["deno", "bun"].find((name) => name in process.versions) ?? "node";

/** Answers a request. */
export async function answer(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const proof = proofOf(request.method, pathname, await request.text());
  const text = `${runtime} ${process.pid} ${proof}`;
  const [, how, , ms] = pathname.split("/");
  if (how === "stream") return new Response(inHalves(text, Number(ms)));
  if (how === "late") await sleep(Number(ms));
  return new Response(text);
}

/** Who has answered, if that is the answer to this request. */
export function answererOf(
  answer: string,
  method: string,
  path: string,
  body: string,
): Answerer | undefined {
  const [, runtime, pid, proof] = /^(\w+) (\d+) (.*)$/s.exec(answer) ?? [];
  if (runtime === undefined || proof !== proofOf(method, path, body)) return undefined;
  return { runtime, pid: Number(pid) };
}

function proofOf(method: string, path: string, body: string): string {
  return `${method} ${path} ${body}`;
}

function inHalves(text: string, ms: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(text);
  const half = bytes.length >> 1;
  let isFirst = true;
  return new ReadableStream({
    async pull(controller) {
      if (isFirst) {
        isFirst = false;
        return controller.enqueue(bytes.subarray(0, half));
      }
      await sleep(ms);
      controller.enqueue(bytes.subarray(half));
      controller.close();
    },
  });
}
