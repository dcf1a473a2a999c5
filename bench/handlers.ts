/** What the servers answer with: the same functions in the bare server and in the graceful one. */

/** A handler that both kinds of server can take. */
export type BenchHandler = (request: Request) => Response | Promise<Response>;

/** The name of a handler. */
export type HandlerName = "sync" | "async" | "upload";

/** The handlers, by name. */
export const handlers: Readonly<Record<HandlerName, BenchHandler>> = {
  sync: (_request) => new Response("hello world"),
  async: async (_request) => {
    await Promise.resolve();
    return new Response("hello world");
  },
  upload: async (request) => new Response(await request.text()),
};
