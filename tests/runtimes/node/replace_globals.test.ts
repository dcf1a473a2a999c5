/** `replaceGlobals` on Node: the replaced classes behave like Node's own. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { type Handler, serve } from "../../../mod.ts";
import { DeferredResponse } from "../../../src/runtime/node/deferred_response.ts";
import { connect, request } from "../../../support/client.ts";
import { runtime } from "../../support/fixture.ts";

/** In ms. */
const SOON = 5_000;

const NativeResponse = globalThis.Response;
const native = { Response, Request, fetch };
const bytes = new TextEncoder().encode("hello");

/** Arguments of `new Response`, valid and invalid. */
const args: Record<string, () => unknown[]> = {
  "nothing": () => [],
  "null": () => [null],
  "a string": () => ["hello"],
  "a string that is not well-formed": () => ["\ud800"],
  "an empty string": () => [""],
  "bytes": () => [bytes],
  "bytes in a buffer": () => [bytes.slice().buffer],
  "a view of bytes": () => [new DataView(bytes.slice().buffer, 1)],
  "a Blob": () => [new Blob(["hello"], { type: "text/css" })],
  "a Blob without a type": () => [new Blob(["hello"])],
  "parameters": () => [new URLSearchParams("a=b")],
  "a stream": () => [new Blob(["hello"]).stream()],
  "a number": () => [42],
  "an object": () => [{}],
  "a status": () => ["hello", { status: 404, statusText: "Not here" }],
  "headers": () => ["hello", { headers: { "X-A": " b ", "content-type": "text/css" } }],
  "headers in pairs": () => ["hello", { headers: [["set-cookie", "a"], ["set-cookie", "b"]] }],
  "headers of another": () => ["hello", { headers: new Headers({ a: "b" }) }],
  "a response as init": () => ["hello", new NativeResponse(null, { status: 201 })],
  "status 204": () => [null, { status: 204 }],
  "status 204 with a body": () => ["", { status: 204 }],
  "status 99": () => [null, { status: 99 }],
  "status 600": () => [null, { status: 600 }],
  "a status in text": () => [null, { status: "201" }],
  "a status with a fraction": () => [null, { status: 200.5 }],
  "a reason with a line break": () => [null, { statusText: "a\nb" }],
  "a reason in Latin-1": () => [null, { statusText: "é" }],
  "a header with a line break": () => [null, { headers: { a: "b\nc" } }],
  "a header without a valid name": () => [null, { headers: { "a b": "c" } }],
  "null as headers": () => [null, { headers: null }],
  "null as init": () => ["hello", null],
  "a number as init": () => ["hello", 1],
};

const isText = (key: string | symbol) => typeof key === "string";

/** Everything that can be seen of a response, or the error of making it. */
async function seen(make: () => Response): Promise<unknown> {
  let response: Response;
  try {
    response = make();
  } catch (error) {
    assert(error instanceof Error);
    return `${error.name}: ${error.message}`;
  }
  const { status, statusText, ok, type, url, redirected, bodyUsed } = response;
  const hasBody = response.body !== null;
  const copy = response.clone();
  return {
    properties: { status, statusText, ok, type, url, redirected, bodyUsed, hasBody },
    headers: [...response.headers],
    text: await response.text(),
    bodyUsed: response.bodyUsed,
    copy: { text: await copy.text(), status: copy.status, headers: [...copy.headers] },
    mediaType: (await make().blob()).type,
    name: Object.prototype.toString.call(response),
  };
}

if (runtime === "node") {
  for (const [what, make] of Object.entries(args)) {
    test(`[node] DeferredResponse is like a Response with ${what}`, async () => {
      // The casts: some of the arguments are invalid.
      assertEquals(
        await seen(() => new DeferredResponse(...make() as [])),
        await seen(() => new NativeResponse(...make() as [])),
      );
    });
  }

  for (const [what, json] of Object.entries({ "data": { a: 1 }, "nothing": undefined })) {
    for (const init of [undefined, { status: 201, headers: { "content-type": "a/b" } }]) {
      test(`[node] DeferredResponse.json is like Response.json of ${what}, ${init?.status}`, async () => {
        assertEquals(
          await seen(() => DeferredResponse.json(json, init)),
          await seen(() => NativeResponse.json(json, init)),
        );
      });
    }
  }

  test("[node] DeferredResponse keeps the bytes that it was given", async () => {
    const body = bytes.slice();
    const response = new DeferredResponse(body);
    body.fill(0);
    assertEquals(await response.text(), "hello");
  });

  test("[node] DeferredResponse has the members of Response, and no others", async () => {
    const members = (type: { prototype: object }) => Reflect.ownKeys(type.prototype).filter(isText);
    assertEquals(members(DeferredResponse).sort(), members(NativeResponse).sort());
    const texts = [];
    for await (const text of new DeferredResponse("hello").textStream()) texts.push(text);
    assertEquals(texts, ["hello"]);
  });

  test("[node] DeferredResponse keeps its Headers object", async () => {
    const response = new DeferredResponse("hello");
    const { headers } = response;
    headers.set("content-type", "text/css");
    assertEquals((await response.blob()).type, "text/css");
    headers.delete("content-type");
    assertEquals([response.headers === headers, [...response.headers]], [true, []]);
  });

  test("[node] DeferredResponse can be extended, and has the static members of Response", () => {
    class Teapot extends DeferredResponse {
      constructor() {
        super("short and stout", { status: 418 });
      }
    }
    const teapot = new Teapot();
    assertEquals([teapot.status, teapot instanceof Teapot, teapot instanceof NativeResponse], [
      418,
      true,
      true,
    ]);
    assert(!(new DeferredResponse() as unknown instanceof Teapot));
    assert(NativeResponse.error() instanceof DeferredResponse);
    // The cast: the static members that are inherited are not in the types.
    const statics = DeferredResponse as unknown as typeof NativeResponse;
    assertEquals(statics.redirect("http://localhost/").status, 302);
  });

  test("[node] serve() replaces no globals unless told to", async () => {
    await using _ = await serve(() => new Response(), { port: 0, hostname: "127.0.0.1" });
    assertEquals({ Response, Request, fetch }, native);
  });

  test("[node] serve({ replaceGlobals }) sends what handlers make with the replaced Response", async () => {
    const makers: Record<string, () => Response> = {
      "hello": () => new Response("hello"),
      "héllo": () => new Response("héllo"),
      "bytes": () => new Response(new TextEncoder().encode("bytes")),
      '{"a":1}': () => Response.json({ a: 1 }),
      "blob": () => new Response(new Blob(["blob"], { type: "text/css" })),
      "": () => new Response(),
      "touched": () => {
        const response = new Response("touched");
        assert(response.body !== null && response.headers.get("content-type") !== null);
        return response;
      },
    };
    for (const [text, make] of Object.entries(makers)) {
      await answering(make, async (url) => {
        const response = await fetch(url);
        assertEquals(
          response.headers.get("content-type")?.toLowerCase() ?? "",
          (await make().blob()).type,
        );
        const length = String(new TextEncoder().encode(text).length);
        assertEquals([await response.text(), response.headers.get("content-length")], [
          text,
          length,
        ]);
        assert(response instanceof Response);
      });
    }
  });

  test("[node] serve({ replaceGlobals }) refuses a response that was sent before", async () => {
    const response = new Response("hello");
    await answering(() => response, async (url) => {
      const first = await fetch(url);
      const second = await fetch(url);
      assertEquals([first.status, second.status, response.bodyUsed], [200, 500, true]);
    });
  });

  /** What handlers do with a request, and what comes of it. */
  const uses: Record<string, (request: Request) => unknown> = {
    "instanceof": (request) => request instanceof Request,
    "clone": async (request) => [await request.clone().text(), await request.text()],
    "new Request": async (request) => {
      const copy = new Request(request, { headers: { "x-a": "2" } });
      return [copy.method, copy.url === request.url, copy.headers.get("x-a"), await copy.text()];
    },
    "bodyUsed": (request) => [request.bodyUsed, new Request(request).bodyUsed, request.bodyUsed],
    "a used body": async (request) => {
      await request.text();
      return await request.text().catch((error) => error.name);
    },
    "headers": (request) => {
      request.headers.set("x-a", "3");
      return [request.headers.get("x-a"), new Request(request).headers.get("x-a")];
    },
    "an invalid header": (request) => {
      try {
        request.headers.set("a b", "c");
        return "set";
      } catch (error) {
        return error instanceof TypeError && "refused";
      }
    },
    "fields": (request) => {
      const { method, url, redirect, cache, credentials, mode } = request;
      const { pathname } = new URL(url);
      return { method, pathname, redirect, cache, credentials, mode };
    },
  };
  const results: Record<string, unknown> = {
    "instanceof": true,
    "clone": ["hello", "hello"],
    "new Request": ["POST", true, "2", "hello"],
    "bodyUsed": [false, false, true],
    "a used body": "TypeError",
    "headers": ["3", "3"],
    "an invalid header": "refused",
    "fields": {
      method: "POST",
      pathname: "/",
      redirect: "follow",
      cache: "default",
      credentials: "same-origin",
      mode: "cors",
    },
  };

  for (const [what, use] of Object.entries(uses)) {
    test(`[node] serve({ replaceGlobals }) gives handlers a Request: ${what}`, async () => {
      await answering(async (request) => Response.json(await use(request)), async (url) => {
        const init = { method: "POST", body: "hello", headers: { "x-a": "1" } };
        assertEquals(await (await fetch(url, init)).json(), results[what]);
      });
    });
  }

  test("[node] serve({ replaceGlobals }) gives handlers a Request that fetch() takes", async () => {
    const proxy: Handler = async (request) => {
      if (request.headers.get("x-hop") === "2") return new Response(await request.text());
      request.headers.set("x-hop", "2");
      return await fetch(request);
    };
    await answering(proxy, async (url) => {
      const response = await fetch(url, { method: "POST", body: "hello" });
      assertEquals(await response.text(), "hello");
    });
  });

  test("[node] serve({ replaceGlobals }) aborts the signal of a request whose client has left", async () => {
    const arrived = Promise.withResolvers<AbortSignal>();
    const server = await serve((request) => {
      arrived.resolve(new Request(request).signal);
      return new Promise<Response>(() => {});
    }, { port: 0, hostname: "127.0.0.1", replaceGlobals: true });
    const client = await connect(server.addr);
    client.write(request("/"));
    const signal = await deadline(arrived.promise, SOON);
    const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
    client.vanish();
    await deadline(aborted, SOON);
    await server.close();
  });
}

if (runtime !== "node") {
  test(`[${runtime}] serve({ replaceGlobals }) replaces nothing`, async () => {
    const options = {
      port: 0,
      hostname: "127.0.0.1",
      engine: "node",
      replaceGlobals: true,
    } as const;
    await using server = await serve(() => new Response("hello"), options);
    assertEquals(await (await fetch(server.url)).text(), "hello");
    assertEquals({ Response, Request, fetch }, native);
  });
}

async function answering(handler: Handler, use: (url: string) => Promise<void>): Promise<void> {
  const options = { port: 0, hostname: "127.0.0.1", replaceGlobals: true, onError } as const;
  await using server = await serve(handler, options);
  await use(server.url);
}

function onError(error: unknown): Response {
  return new Response(String(error), { status: 500 });
}
