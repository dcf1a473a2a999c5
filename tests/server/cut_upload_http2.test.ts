/** An upload over HTTP/2 that its client resets in the middle fails where it is read. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { serve } from "../../mod.ts";
import { engines, pem, runtime } from "../support/fixture.ts";
import { Http2Client } from "../support/http2_client.ts";

/** In ms. */
const SOON = 8_000;

/** Of RFC 9113, section 7. The client is raw: the client of Node ends an upload before it resets its stream. */
const CODES = { NO_ERROR: 0, INTERNAL_ERROR: 2, CANCEL: 8 };

const readers: Record<string, (request: Request) => Promise<string>> = {
  "text()": (request) => request.text(),
  "its stream": async ({ body }) => {
    let text = "";
    for await (const part of body!.pipeThrough(new TextDecoderStream())) text += part;
    return text;
  },
};

/** Where an upload that is reset reads as a whole, shorter one. If the runtime improves, its row here fails. */
const EXCEPTIONS = new Set([
  ...["deno", "deno-serve"].flatMap((engine) =>
    Object.keys(readers).flatMap((reader) =>
      ["NO_ERROR", "CANCEL"].map((name) => `deno ${engine} ${reader} ${name}`)
    )
  ),
]);

for (const engine of engines) {
  for (const [reader, read] of Object.entries(readers)) {
    for (const [name, code] of Object.entries(CODES)) {
      const isException = EXCEPTIONS.has(`${runtime} ${engine} ${reader} ${name}`);
      const outcomeOfRule = isException ? "pass for a shorter one (exception)" : "fail";
      test(`[${runtime}, ${engine}] serve() lets an upload that is reset with ${name} ${outcomeOfRule} where ${reader} reads it`, async () => {
        const began = Promise.withResolvers<void>();
        const outcome = Promise.withResolvers<string>();
        const errors: unknown[] = [];
        const server = await serve(async (request) => {
          began.resolve();
          const text = read(request);
          outcome.resolve(text.then((text) => `read ${text}`, () => "failed"));
          return new Response(await text);
        }, {
          ...pem,
          port: 0,
          hostname: "127.0.0.1",
          engine,
          onError: (error) => {
            errors.push(error);
            return new Response(null, { status: 500 });
          },
        });
        const client = await Http2Client.connect(server.addr);
        try {
          client.post(1, "/");
          client.upload(1, "part");
          await deadline(began.promise, SOON);
          client.reset(1, code);
          assertEquals(await deadline(outcome.promise, SOON), isException ? "read part" : "failed");
          client.vanish();
          await server.shutdown({ timeout: SOON });
          assertEquals(errors, []);
        } finally {
          client.vanish();
          server.close();
        }
      });
    }
  }
}
