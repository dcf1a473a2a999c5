import type { Answer } from "../../options/serve.ts";
import { sayingClose } from "../../server/last_response.ts";
import { refuse } from "../../options/checks.ts";
import { checkNames } from "../../options/names.ts";
import type { BunFlight } from "./flights.ts";
import { type RouteHandler, withHandlers, withoutStatic } from "./routes.ts";

/** A function that answers a request: the handler of `serve`, or the function of a route. */
export type BunHandler = (request: Request, info: BunFlight) => Answer | Promise<Answer>;

/** The handler and the routes of a server of `Bun.serve`. The server's `reload` replaces them. */
export class ServedContent {
  #handler: BunHandler;
  #routes: object;

  constructor(handler: BunHandler, routes: unknown = {}) {
    this.#handler = handler;
    this.#routes = checkedRoutes("serve as 'bun.routes'", routes);
  }

  get hasRoutes(): boolean {
    return Object.keys(this.#routes).length > 0;
  }

  /**
   * Replaces the content that the options of `reload` name. The functions in these options are called as Bun calls
   * them, with the request and the server.
   *
   * @throws {TypeError} For other options of Bun, which only `serve` can set.
   */
  replace(options: Record<string, unknown>): void {
    const { fetch, routes } = options;
    checkNames("reload", options, NAMES, REPLACEMENTS);
    if (fetch !== undefined && typeof fetch !== "function") {
      refuse("reload as 'fetch'", "a function", fetch);
    }
    if (routes !== undefined) this.#routes = checkedRoutes("reload as 'routes'", routes);
    // The cast: it is the function that Bun would call.
    if (fetch !== undefined) this.#handler = withServer(fetch as RouteHandler);
  }

  /**
   * Returns the options of `Bun.serve` for the content. With `endsConnections` static routes say `Connection:
   * close`.
   */
  options(
    answering: (handler: BunHandler) => RouteHandler,
    endsConnections: boolean,
  ): { fetch: RouteHandler; routes: object } {
    const fetch = answering(this.#handler);
    const routes = withHandlers(this.#routes, (handler) => answering(withServer(handler)));
    return { fetch, routes: endsConnections ? withoutStatic(routes, sayingClose, fetch) : routes };
  }
}

const NAMES = { fetch: true, routes: true } as const;

const REPLACEMENTS = {
  error: "use 'onError' of serve()",
  websocket: "use 'websocket' of serve()",
};

function checkedRoutes(what: string, routes: unknown): object {
  if (typeof routes === "object" && routes !== null) return routes;
  return refuse(what, "an object with a value for each path", routes);
}

function withServer(handler: RouteHandler): BunHandler {
  return (request, info) => handler(request, info.native);
}
