import { printable, printableJson } from "../core/printable.ts";
import type { CheckResult } from "./monitored_check.ts";

/** The results of the checks behind a path. */
export interface Report {
  /** The name of the endpoint in Kubernetes. The path may be another one. */
  readonly endpoint: "livez" | "readyz";
  readonly results: readonly CheckResult[];
}

/** Makes the response for a report. With `details`, the query chooses the format. */
export function respond(request: Request, report: Report, details: boolean): Response {
  const status = report.results.every(isOk) ? 200 : 503;
  const query = new URLSearchParams(details ? queryOf(request.url) : "");
  if (query.get("format") === "json") {
    return withHeaders(jsonOf(report), status, { "content-type": "application/json" });
  }
  if (query.has("verbose")) return withHeaders(textOf(report), status);
  return withHeaders(status === 200 ? "ok" : "not ok", status);
}

/** Makes the response for a request that is neither GET nor HEAD. */
export function methodNotAllowed(): Response {
  return withHeaders("method not allowed", 405, { allow: "GET, HEAD" });
}

/** Returns the text of an error on one line. */
export function reasonOf(error: Error): string {
  // The message is empty if a connection was tried at several addresses.
  const text = error instanceof AggregateError && error.message === ""
    ? error.errors.join("; ")
    : error.message;
  return printable(text.replace(/\s+/g, " ").trim() || error.name);
}

/** The reason phrases of HTTP/1, which the engine `node` does not add by itself. */
const REASON_PHRASES: Readonly<Record<number, string>> = {
  200: "OK",
  405: "Method Not Allowed",
  503: "Service Unavailable",
};

function isOk({ error }: CheckResult): boolean {
  return error === undefined;
}

function queryOf(url: string): string {
  const start = url.indexOf("?");
  return start < 0 ? "" : url.slice(start);
}

function withHeaders(body: string, status: number, headers?: Record<string, string>): Response {
  return new Response(body, {
    status,
    statusText: REASON_PHRASES[status],
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...headers,
    },
  });
}

/** Returns the report of the checks in the format of the Kubernetes API server. */
function textOf({ endpoint, results }: Report): string {
  const lines = results.map(({ name, error }) =>
    error === undefined
      ? `[+]${printable(name)} ok`
      : `[-]${printable(name)} failed: ${reasonOf(error)}`
  );
  lines.push(`${endpoint} check ${results.every(isOk) ? "passed" : "failed"}`);
  return `${lines.join("\n")}\n`;
}

function jsonOf({ results }: Report): string {
  const checks = results.map(({ name, error, duration }) => {
    // Rounded to a microsecond, the precision of the clocks.
    const rounded = Math.round(duration * 1_000) / 1_000;
    const check = error === undefined
      ? { status: "ok", duration: rounded }
      : { status: "failed", error: reasonOf(error), duration: rounded };
    return [name, check] as const;
  });
  const status = results.every(isOk) ? "ok" : "failed";
  return printableJson({ status, checks: Object.fromEntries(checks) });
}
