/**
 * Liveness and readiness of a service, as Kubernetes and load balancers ask for them: a fetch
 * handler to mount, or to put in front of another. Its readiness fails as soon as the end of the
 * process is decided, while requests are still served.
 *
 * @example
 * ```ts
 * import { graceful, serve } from "@x/graceful";
 * import { health } from "@x/graceful/health";
 *
 * const app = () => new Response("hello");
 * const server = await serve(health({ next: app }), { port: 9527 });
 * await graceful(server, { timeout: 15_000 });
 * ```
 *
 * @module
 */
import { reportError } from "../core/report_error.ts";
import type { Handler, ServeInfo } from "../options/serve.ts";
import { endOfProcess } from "../graceful/end_of_process.ts";
import { type CheckResult, MonitoredCheck } from "./monitored_check.ts";
import { checkHealth, type HealthOptions, LIVE_PATH, READY_PATH, SHUTDOWN } from "./options.ts";
import { methodNotAllowed, reasonOf, type Report, respond } from "./response.ts";

export type { Check, CheckOptions, HealthOptions } from "./options.ts";

/** A {@linkcode Handler} that can do without the `info` of `serve`. */
export type HealthHandler = (
  request: Request,
  info?: ServeInfo,
) => Response | Promise<Response>;

/**
 * Makes a handler of `GET` and `HEAD` requests for liveness and readiness, without `next`. It can be
 * mounted in a framework that gives it the request alone, or something else beside it.
 *
 * It answers 200 with the text `ok`, or 503 with `not ok` if a check fails: nothing more unless
 * there are `details`. Other methods get 405, other paths 404.
 *
 * Liveness does not care for a shutdown. Readiness fails from the moment at which `graceful` decides
 * that the process ends, before anything is closed, and without its checks being run; where the
 * server is shut down without `graceful`, from the start of its drain, of which only `info` tells. A
 * process that ends because a successor has taken over fails nothing by that: the address is still
 * served.
 *
 * The checks of a path run side by side, at each request, but each no more than once at a time:
 * requests that come meanwhile wait for the same result. A check is given `timeout` ms. If it has
 * not ended then it has failed, and it fails without being started again until it has.
 *
 * The paths, the texts and `?verbose` are those of Kubernetes' API server. That fails with 500
 * instead of 503 and shows the names of the checks to everybody; its `?exclude=name` and
 * `/readyz/name` are left out: a query that can change the answer is a probe that can be got wrong.
 *
 * @throws {TypeError} If an option has the wrong type, a check is none, a path is not written as in
 * a URL or both are the same.
 * @throws {RangeError} If a timeout is out of range.
 *
 * @example Mounted in what a framework calls with a request
 * ```ts
 * import { health } from "@x/graceful/health";
 *
 * const probes = health({ readiness: { queue: () => true } });
 * const routes = { "/readyz": (request: Request) => probes(request) };
 * const response = await routes["/readyz"](new Request("http://localhost/readyz"));
 * console.log(response.status, await response.text()); // 200 ok
 * ```
 */
export function health(options?: HealthOptions & { next?: undefined }): HealthHandler;
/**
 * Makes a handler that answers for liveness and readiness, and leaves everything else to `next`. It
 * needs the `info` that `next` is to get: if it is called without, so is `next`.
 *
 * @throws {TypeError} If an option has the wrong type, a check is none, a path is not written as in
 * a URL or both are the same.
 * @throws {RangeError} If a timeout is out of range.
 *
 * @example
 * ```ts
 * import { graceful, serve } from "@x/graceful";
 * import { health } from "@x/graceful/health";
 *
 * const database = { ping: (signal: AbortSignal) => Promise.resolve(!signal.aborted) };
 *
 * const handler = health({
 *   readiness: {
 *     database: (signal) => database.ping(signal),
 *     index: { check: () => true, timeout: 100 },
 *   },
 *   next: () => new Response("hello"),
 * });
 * const server = await serve(handler, { port: 9527 });
 * await graceful(server, { timeout: 15_000 });
 * ```
 */
export function health(options: HealthOptions): Handler;
export function health(options: HealthOptions = {}): HealthHandler {
  checkHealth(options);
  const { livePath = LIVE_PATH, readyPath = READY_PATH, details = false } = options;
  // The cast: `info` is missing only where the type of what is returned was broken.
  const next = (options.next ?? notFound) as HealthHandler;
  const liveness = monitored("liveness", options);
  const readiness = monitored("readiness", options);

  const answer = async (request: Request, report: () => Promise<Report>) => {
    const isProbe = request.method === "GET" || request.method === "HEAD";
    return isProbe ? respond(request, await report(), details) : methodNotAllowed();
  };
  return (request, info) => {
    const path = pathOf(request.url);
    if (path === livePath) return answer(request, () => liveReport(liveness));
    // Of another server than ours, `info` is something else.
    if (path === readyPath) return answer(request, () => readyReport(readiness, info?.draining));
    return next(request, info);
  };
}

function notFound(): Response {
  return new Response("Not Found", { status: 404 });
}

/** Copies the checks of one kind: later changes of the options have no effect. */
function monitored(kind: "liveness" | "readiness", options: HealthOptions): MonitoredCheck[] {
  const { timeout = 750, onCheckChange = logChange } = options;
  return Object.entries(options[kind] ?? {}).map(([name, check]) => {
    const onChange = (error: Error | undefined) => onCheckChange(name, error, kind);
    if (typeof check === "function") return new MonitoredCheck(name, check, timeout, onChange);
    const run = (signal: AbortSignal) => check.check(signal);
    return new MonitoredCheck(name, run, check.timeout ?? timeout, onChange);
  });
}

function logChange(name: string, error: Error | undefined, kind: string): void {
  const change = error === undefined ? "works again" : `fails: ${reasonOf(error)}`;
  reportError(`The ${kind} check '${name}' ${change}`);
}

/** Returns the path and the query without parsing the URL, which every request for `next` would pay for. */
function pathOf(url: string): string | undefined {
  // On Bun the URL of a request of HTTP/1.0 without a host is its path.
  return /^(?:\w+:\/\/[^/?#]*)?([^?#]*)/.exec(url)?.[1];
}

async function liveReport(checks: readonly MonitoredCheck[]): Promise<Report> {
  return { endpoint: "livez", results: await resultsOf(checks) };
}

async function readyReport(
  checks: readonly MonitoredCheck[],
  draining: AbortSignal | undefined,
): Promise<Report> {
  const isEnding = whyEnding(draining) !== undefined;
  const results = isEnding ? [] : await resultsUntilDrain(checks, draining);
  // Anew, for the end may have been decided while the checks ran.
  const shutdown = { name: SHUTDOWN, error: whyEnding(draining), duration: 0 };
  const all = shutdown.error === undefined ? [...results, shutdown] : [shutdown];
  return { endpoint: "readyz", results: all };
}

/** Returns why no more requests should be sent here; undefined while they should. */
function whyEnding(draining: AbortSignal | undefined): Error | undefined {
  const cause = endOfProcess();
  // Its successor serves where it did.
  if (cause === "upgraded") return undefined;
  if (cause !== undefined) return new Error(`the process ends: ${cause}`);
  return draining?.aborted ? new Error("the server drains") : undefined;
}

function resultsOf(checks: readonly MonitoredCheck[]): Promise<CheckResult[]> {
  return Promise.all(checks.map((check) => check.result()));
}

/** Returns the results of the checks, or none once the drain has made them pointless. */
async function resultsUntilDrain(
  checks: readonly MonitoredCheck[],
  draining: AbortSignal | undefined,
): Promise<CheckResult[]> {
  const { promise, resolve } = Promise.withResolvers<CheckResult[]>();
  const onDrain = () => {
    if (whyEnding(draining) === undefined) return;
    // Where it is not the whole process that ends, another server may wait for them.
    if (endOfProcess() !== undefined) checks.forEach((check) => check.stop());
    resolve([]);
  };
  draining?.addEventListener("abort", onDrain);
  resultsOf(checks).then(resolve);
  try {
    return await promise;
  } finally {
    draining?.removeEventListener("abort", onDrain);
  }
}
