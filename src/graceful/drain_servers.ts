import type { ConnInfo } from "../core/conn.ts";
import { ShutdownIncompleteError } from "../core/errors.ts";
import type { ShutdownOptions } from "../options/shutdown.ts";
import type { ShutdownReport } from "../core/report.ts";
import type { DrivenServer } from "../server/server.ts";
import { FORCE_WAIT, within } from "../core/within.ts";
import type { Failures } from "./failures.ts";
import type { EventSink } from "./events.ts";

/** The number of ms between two "waiting" events. */
const PROGRESS_INTERVAL = 1_000;
/** The number of ms for which a close by force is waited for: longer than a server waits itself, whose error says more. */
const CLOSE_WAIT = FORCE_WAIT + 100;

/** Returns the open connections of the servers that are not closed. */
export function connectionsOf(servers: readonly DrivenServer[]): ConnInfo[] {
  return servers.flatMap((server) => server.state === "closed" ? [] : server.connections());
}

/**
 * Has the servers serve on for so many ms, each HTTP/1 response the last of its connection. Ends
 * earlier if the servers do.
 */
export async function lameDuck(servers: readonly DrivenServer[], ms: number): Promise<void> {
  if (ms === 0) return;
  for (const server of servers) server.startLameDuck();
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  // Where there are none, something else serves.
  if (servers.length > 0) {
    Promise.all(servers.map(({ finished }) => finished)).then(() => resolve());
  }
  await over;
  clearTimeout(timer);
}

/** Shuts the servers down under one deadline, closes by force what is left at the deadline, and reports. */
export async function drainAll(
  servers: readonly DrivenServer[],
  options: ShutdownOptions & { readonly timeout: number },
  teller: EventSink,
  failures: Failures,
): Promise<{ reports: ShutdownReport[]; forced: boolean }> {
  const stopTelling = tellProgress(servers, options.timeout, teller);
  const outcomes = await Promise.all(servers.map((server) => outcome(server, options, failures)));
  stopTelling();
  const cut = outcomes.flatMap(({ isDrained, report }) => isDrained ? [] : report.connections);
  const forced = outcomes.some(({ isDrained }) => !isDrained);
  if (forced) teller.tell({ type: "forced", connections: cut });
  // Hijacked connections that were not waited for end here as well.
  if (forced || options.hijacked === "ignore") await closeAll(servers, failures);
  const reports = outcomes.map(({ isDrained, report }) =>
    frozen(isDrained ? report : { ...report, forced: report.connections.length })
  );
  return { reports, forced };
}

/** Freezes a report: what was handed out does not change any more. */
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
    // The drain is complete, but a listener could not be closed.
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

/** Emits "waiting" events until the returned function is called. */
function tellProgress(
  servers: readonly DrivenServer[],
  timeout: number,
  teller: EventSink,
): () => void {
  const end = performance.now() + timeout;
  const timer = setInterval(() => {
    const left = Math.max(0, end - performance.now());
    teller.tell({ type: "waiting", left, connections: connectionsOf(servers) });
  }, PROGRESS_INTERVAL);
  return () => clearInterval(timer);
}
