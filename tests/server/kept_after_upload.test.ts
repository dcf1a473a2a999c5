/** A connection that is kept after an upload ends like any other, and cuts off no request. */
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { type Engine, serve, type ServeOptions, type Server } from "../../mod.ts";
import { connect, type RawClient, request } from "../../support/client.ts";
import { engines, runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

/** In ms: less than the half second that a client has for the rest of an upload that was left unread. */
const AT_ONCE = 400;

/** In ms. */
const WORK = 800;

const UPLOAD = request("POST /upload", "Content-Length: 3");

/** What a server is started with, by its description. The engine "deno" serves in two ways. */
const starts: Record<string, ServeOptions> = {};
for (const engine of engines) starts[engine] = { engine };
if (engines.includes("deno")) {
  starts["deno, accept loop"] = { engine: "deno" satisfies Engine, onConnState: () => {} };
}

const ways: Record<string, (request: Request) => unknown> = {
  "was read": (request) => request.text(),
  "was read as a stream": async ({ body }) => {
    for await (const _chunk of body ?? []);
  },
  "was left unread": () => {},
};

class Uploads {
  server!: Server;
  started = 0;

  static async start(
    options: ServeOptions,
    read: (request: Request) => unknown,
  ): Promise<Uploads> {
    const uploads = new Uploads();
    uploads.server = await serve(async (request) => {
      if (request.method === "POST") await read(request);
      else {
        uploads.started++;
        await delay(WORK);
      }
      // Deno before 2.9.6 closes a connection after most uploads, unless it is told not to.
      return new Response("done", { headers: { connection: "keep-alive" } });
    }, { port: 0, hostname: "127.0.0.1", ...options });
    return uploads;
  }

  async client(...parts: readonly string[]): Promise<RawClient> {
    const client = await connect(this.server.addr);
    for (const part of parts) {
      client.write(part);
      await delay(20);
    }
    assertEquals((await deadline(client.response(), SOON)).body, "done");
    return client;
  }
}

/** Returns whether a request was answered; undefined if the connection ended before its handler started. */
async function isAnswered(client: RawClient, uploads: Uploads): Promise<boolean | undefined> {
  const before = uploads.started;
  client.write(request("/"));
  const response = client.response().then(() => true, () => false);
  const answered = await deadline(response, SOON);
  return answered || uploads.started > before ? answered : undefined;
}

for (const [kind, options] of Object.entries(starts)) {
  const on = `[${runtime}, ${kind}]`;

  for (const [how, read] of Object.entries(ways)) {
    test(`${on} shutdown() ends a connection at once whose upload came with its head and ${how}`, async () => {
      const uploads = await Uploads.start(options, read);
      const client = await uploads.client(UPLOAD + "abc");
      const { duration } = await deadline(uploads.server.shutdown({ timeout: SOON }), SOON);
      assert(duration < AT_ONCE, `it took ${duration} ms`);
      await deadline(client.closed, SOON);
    });
  }

  // Deno's own server ends idle connections with its listener.
  if (kind === "deno-serve") continue;
  for (const [how, read] of Object.entries(ways)) {
    test(`${on} shutdown() cuts off no request on a connection whose upload ${how}`, async () => {
      const uploads = await Uploads.start(options, read);
      const whole = await uploads.client(UPLOAD + "abc");
      const split = how === "was left unread" ? whole : await uploads.client(UPLOAD, "abc");
      const spared = uploads.server.shutdown({ timeout: SOON, idleGrace: 100 });
      await delay(300);
      const answers = await Promise.all(
        [whole, split].map((client) => isAnswered(client, uploads)),
      );
      assert(!answers.includes(false), String(answers));
      const report = await deadline(spared, SOON);
      assertEquals([report.reason, report.connections], ["drained", []]);
    });
  }
}
