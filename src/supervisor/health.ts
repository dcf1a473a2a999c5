/** The health checks of a whole service, which the supervisor answers. */
import type { Addr } from "../core/addr.ts";
import { LIVE_PATH, READY_PATH } from "../health/options.ts";
import { methodNotAllowed, respond } from "../health/response.ts";
import { serve } from "../serve.ts";
import type { Server } from "../server/server.ts";
import type { SupervisorStatus } from "./status.ts";

const STATUS_PATH = "/status";

/** Starts the server for health checks and the status. */
export async function serveHealth(addr: Addr, status: () => SupervisorStatus): Promise<Server> {
  const where = addr.transport === "unix"
    ? { path: addr.path }
    : { hostname: addr.hostname, port: addr.port };
  return await serve((request) => answer(request, status()), where);
}

function answer(request: Request, status: SupervisorStatus): Response {
  if (request.method !== "GET" && request.method !== "HEAD") return methodNotAllowed();
  switch (new URL(request.url).pathname) {
    case LIVE_PATH:
      return respond(request, { endpoint: "livez", results: [] }, false);
    case READY_PATH:
      return respond(request, { endpoint: "readyz", results: readiness(status) }, false);
    case STATUS_PATH:
      return Response.json(status, { headers: { "cache-control": "no-store" } });
    default:
      return new Response("not found", { status: 404 });
  }
}

function readiness({ ready, state }: SupervisorStatus) {
  const error = ready ? undefined : new Error(`not all workers are ready: ${state}`);
  return [{ name: "workers", error, duration: 0 }];
}
