import type { Answer } from "../../options/serve.ts";
import type { BunServer } from "../api/bun.ts";

/** The routes of `Bun.serve`, by path. */
export type BunRoutes = Readonly<Record<string, unknown>>;

/** A function that Bun calls with a request. */
export type RouteHandler = (
  request: Request,
  server: BunServer,
) => Answer | Promise<Answer>;

/** Returns routes whose functions are replaced by what `replace` returns for them. */
export function withHandlers(
  routes: object,
  replace: (handler: RouteHandler) => RouteHandler,
): BunRoutes {
  // The cast: the functions among routes are handlers.
  return mapRoutes(
    routes,
    (value) => typeof value === "function" ? replace(value as RouteHandler) : value,
  );
}

/**
 * Returns routes whose static responses and files are replaced by functions, which answer with the response that
 * `last` makes of the original. This is needed because Bun adds no header to a static response. Pages and folders
 * are not replaced. As with Bun, `fallback` answers if a file does not exist.
 */
export function withoutStatic(
  routes: object,
  last: (response: Response) => Response,
  fallback: RouteHandler,
): BunRoutes {
  return mapRoutes(routes, (value) => {
    if (value instanceof Response) return () => last(value.clone());
    if (value instanceof Blob) {
      return async (request: Request, server: BunServer) =>
        await exists(value) ? last(new Response(value)) : await fallback(request, server);
    }
    return value;
  });
}

/** Returns whether a blob exists, which is false only for a `Bun.file` without a file. */
async function exists(blob: Blob & { exists?(): Promise<boolean> }): Promise<boolean> {
  return await blob.exists?.() ?? true;
}

/** Returns routes in which every value is replaced, including the values for single methods. */
function mapRoutes(routes: object, replace: (value: unknown) => unknown): BunRoutes {
  return mapValues(
    routes,
    (value) => isByMethod(value) ? mapValues(value, replace) : replace(value),
  );
}

function mapValues(values: object, replace: (value: unknown) => unknown): BunRoutes {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, replace(value)]));
}

/** Returns whether a route is an object with a value for each method. The route of a folder is an object as well. */
function isByMethod(value: unknown): value is object {
  return typeof value === "object" && value !== null && !("dir" in value) &&
    Object.getPrototypeOf(value) === Object.prototype;
}
