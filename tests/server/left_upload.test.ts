/** A handler fails if its client leaves in the middle of an upload. That is no error of the handler. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { serve } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

const uploads: Record<string, string> = {
  "with a length": request("POST /", "Content-Length: 1000") + "hello",
  "in chunks": request("POST /", "Transfer-Encoding: chunked") + "5\r\nhello\r\n",
};

for (const engine of engines) {
  for (const [kind, text] of Object.entries(uploads)) {
    for (const maxBodySize of [undefined, 500]) {
      const limit = maxBodySize === undefined ? "" : ", and maxBodySize";
      test(`[${runtime}, ${engine}] onError does not hear of a client that leaves in an upload ${kind}${limit}`, async () => {
        const failed = Promise.withResolvers<void>();
        const began = Promise.withResolvers<void>();
        const errors: unknown[] = [];
        const server = await serve(async (request) => {
          began.resolve();
          try {
            return new Response(await request.text());
          } catch (error) {
            failed.resolve();
            throw error;
          }
        }, {
          port: 0,
          hostname: "127.0.0.1",
          engine,
          onError: (error) => {
            errors.push(error);
            return new Response("failed", { status: 500 });
          },
          ...(maxBodySize === undefined ? {} : { maxBodySize }),
        });
        const client = await connect(server.addr);
        client.write(text);
        await deadline(began.promise, SOON);
        client.vanish();
        await deadline(failed.promise, SOON);
        await server.shutdown({ timeout: SOON });
        assertEquals(errors, []);
      });
    }
  }
}
