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
 * Returns routes whose static responses and files are replaced by functions that answer with what `last` makes of
 * them. Bun itself adds no header to a static response. Pages and folders are not replaced. As with Bun, `fallback`
 * answers where there is no file.
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

/** Whether the file of a `Bun.file` is there. Other blobs are. */
async function exists(blob: Blob & { exists?(): Promise<boolean> }): Promise<boolean> {
  return await blob.exists?.() ?? true;
}

/** Returns routes in which every value, also those of single methods, is replaced. */
function mapRoutes(routes: object, replace: (value: unknown) => unknown): BunRoutes {
  return mapValues(
    routes,
    (value) => isByMethod(value) ? mapValues(value, replace) : replace(value),
  );
}

function mapValues(values: object, replace: (value: unknown) => unknown): BunRoutes {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, replace(value)]));
}

/** Whether a route is an object with a value for each method. The route of a folder is an object too. */
function isByMethod(value: unknown): value is object {
  return typeof value === "object" && value !== null && !("dir" in value) &&
    Object.getPrototypeOf(value) === Object.prototype;
}
