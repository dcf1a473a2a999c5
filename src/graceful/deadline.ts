/** The deadline of the servers of a process: connections that are still open at the deadline are closed by force. */
import type { ConnInfo } from "../core/conn.ts";
import { ShutdownIncompleteError } from "../core/errors.ts";
import type { ShutdownOptions } from "../options/shutdown.ts";
import type { ShutdownReport } from "../core/report.ts";
import type { DrivenServer } from "../server/driven_server.ts";
import { FORCE_WAIT, within } from "../core/within.ts";
import type { Failures } from "./failures.ts";
import type { EventSink } from "./events.ts";

/** The number of ms between two "waiting" events. */
const PROGRESS_INTERVAL = 1_000;
/**
 * The number of milliseconds to wait for a forced close. It is longer than the server's own wait, so that the
 * server's more precise error is reported.
 */
const CLOSE_WAIT = FORCE_WAIT + 100;

/** Returns the open connections of the servers that are not closed. */
export function connectionsOf(servers: readonly DrivenServer[]): ConnInfo[] {
  return servers.flatMap((server) => server.state === "closed" ? [] : server.connections());
}

/**
 * Shuts the servers down under one deadline, closes the connections that are left at the deadline by force, and
 * returns the reports.
 */
export async function drainAll(
  servers: readonly DrivenServer[],
  options: ShutdownOptions & { readonly timeout: number },
  events: EventSink,
  failures: Failures,
): Promise<{ reports: ShutdownReport[]; forced: boolean }> {
  const stopProgress = emitProgress(servers, options.timeout, events);
  const outcomes = await Promise.all(servers.map((server) => outcome(server, options, failures)));
  stopProgress();
  const cut = outcomes.flatMap(({ isDrained, report }) => isDrained ? [] : report.connections);
  const forced = outcomes.some(({ isDrained }) => !isDrained);
  if (forced) events.emit({ type: "forced", connections: cut });
  // Ignored hijacked connections end here.
  if (forced || options.hijacked === "ignore") await closeAll(servers, failures);
  const reports = outcomes.map(({ isDrained, report }) =>
    frozen(isDrained ? report : { ...report, forced: report.connections.length })
  );
  return { reports, forced };
}

/** Freezes a report, which must not change after the caller has got it. */
function frozen(report: ShutdownReport): ShutdownReport {
  Object.freeze(report.connections);
  return Object.freeze(report);
}

interface Outcome {
  readonly isDrained: boolean;
  readonly report: ShutdownReport;
}

async function outcome(
  server: DrivenServer,
  options: ShutdownOptions,
  failures: Failures,
): Promise<Outcome> {
  const start = performance.now();
  try {
    return { isDrained: true, report: await server.shutdown(options) };
  } catch (error) {
    if (error instanceof ShutdownIncompleteError) return { isDrained: false, report: error.report };
    // Any other error comes from a listener that could not be closed, after a complete drain.
    failures.add(`closing the listener of ${server.url}`, error);
    const duration = performance.now() - start;
    const nothing = { polls: 0, idle: 0, drained: 0, forced: 0, connections: [] };
    return { isDrained: true, report: { reason: "drained", duration, ...nothing } };
  }
}

async function closeAll(
  servers: readonly DrivenServer[],
  failures: Failures,
): Promise<void> {
  const closing = servers.map((server) =>
    server.close().catch((error: unknown) => failures.add(`closing ${server.url}`, error))
  );
  await within(Promise.all(closing), CLOSE_WAIT);
}

/** Emits a "waiting" event once a second until the returned function is called. */
function emitProgress(
  servers: readonly DrivenServer[],
  timeout: number,
  events: EventSink,
): () => void {
  const end = performance.now() + timeout;
  const timer = setInterval(() => {
    if (!events.isHeard("waiting")) return;
    const left = Math.max(0, end - performance.now());
    events.emit({ type: "waiting", left, connections: connectionsOf(servers) });
  }, PROGRESS_INTERVAL);
  return () => clearInterval(timer);
}
