/**
 * Liveness and readiness probes for Kubernetes and load balancers: a fetch handler to mount, or to put in
 * front of another handler. Readiness fails as soon as the end of the process is decided, while requests
 * are still served.
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

/** A {@linkcode Handler} that also works without the `info` of `serve`. */
export type HealthHandler = (
  request: Request,
  info?: ServeInfo,
) => Response | Promise<Response>;

/** A {@linkcode Handler} to pass requests to, with `info` if there is one. */
type Next = (request: Request, info?: ServeInfo) => ReturnType<Handler>;

/**
 * Makes a handler that answers `GET` and `HEAD` requests for liveness and readiness. Without `next` the handler
 * can be mounted in a framework that passes it the request only, or the request and some other argument.
 *
 * The handler answers 200 with the text `ok`, or 503 with `not ok` if a check fails. The body contains
 * nothing else unless `details` is set. Other methods get 405, other paths 404.
 *
 * Liveness ignores a shutdown. With `graceful`, readiness fails from the moment at which the end of the process is
 * decided, before anything is closed, and its checks no longer run. Without `graceful`, readiness fails from the
 * start of the server's drain, which the handler knows only from `info`. After an upgrade readiness does not fail,
 * since the successor serves the address.
 *
 * For each request the checks of the path run concurrently. A check never runs twice at the same time: requests
 * that arrive during a run wait for its result. A check that has not ended after `timeout` ms has failed. Until
 * it ends, it is not started again, and counts as failed.
 *
 * The paths, the texts and `?verbose` are the same as in the Kubernetes API server, with two differences. The API
 * server answers 500 instead of 503 and shows the names of the checks to everybody. Its `?exclude=name` and
 * `/readyz/name` do not exist here, because a query that can change the answer makes a probe easy to get wrong.
 *
 * @throws {TypeError} If an option has the wrong type, a check is not a function or {@linkcode CheckOptions}, a
 * path is not written as in a URL, or both paths are the same.
 * @throws {RangeError} If a timeout is out of range.
 *
 * @example Mounted in a framework that calls handlers with a request
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
 * Makes a handler that answers for liveness and readiness, and passes every other request to `next`, with the second
 * argument of the call: the `info` that `serve` gives to handlers. If the handler is called without a second
 * argument, so is `next`.
 *
 * @throws {TypeError} If an option has the wrong type, a check is not a function or {@linkcode CheckOptions}, a
 * path is not written as in a URL, or both paths are the same.
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
export function health(options: HealthOptions = {}): Next {
  checkHealth(options);
  const { livePath = LIVE_PATH, readyPath = READY_PATH, details = false } = options;
  // The cast: `info` is missing only if a caller breaks the type of the returned handler.
  const next = (options.next ?? notFound) as Next;
  const liveness = monitored("liveness", options);
  const readiness = monitored("readiness", options);

  const answer = async (request: Request, report: () => Promise<Report>) => {
    const isProbe = request.method === "GET" || request.method === "HEAD";
    return isProbe ? respond(request, await report(), details) : methodNotAllowed();
  };
  return (request, info) => {
    const path = pathOf(request.url);
    if (path === livePath) return answer(request, () => liveReport(liveness));
    // Other servers may pass a different kind of second argument.
    if (path === readyPath) return answer(request, () => readyReport(readiness, info?.draining));
    return next(request, info);
  };
}

function notFound(): Response {
  return new Response("Not Found", { status: 404 });
}

/** Creates the checks of one kind from the options. Later changes of the options object have no effect. */
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

/** Returns the path of a URL. The URL is not parsed, because that would slow down every request for `next`. */
function pathOf(url: string): string | undefined {
  // On Bun the URL of an HTTP/1.0 request without a `Host` header is only the path.
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
  // Checked again, since the end may have been decided while the checks ran.
  const shutdown = { name: SHUTDOWN, error: whyEnding(draining), duration: 0 };
  const all = shutdown.error === undefined ? [...results, shutdown] : [shutdown];
  return { endpoint: "readyz", results: all };
}

/** Returns why this process should get no more requests; undefined if it should. */
function whyEnding(draining: AbortSignal | undefined): Error | undefined {
  const cause = endOfProcess();
  // The successor serves the address.
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
    // If only this server drains, another server may wait for the results.
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
