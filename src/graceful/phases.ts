import { isOnTerminal } from "../runtime/host/terminal.ts";
import type { DrivenServer } from "../server/server.ts";
import { cleanUp } from "./cleanup.ts";
import { connectionsOf, drainAll, lameDuck } from "./drain_servers.ts";
import type { EventSink } from "./events.ts";
import type { Failures } from "./failures.ts";
import type { GracefulSettings } from "./options.ts";
import type { GracefulReport } from "./report.ts";
import { type HookKind, runTogether } from "./hooks.ts";
import { setExitCode } from "./exit.ts";
import { StopNotice } from "./stop_notice.ts";

/**
 * How long idle connections stay open, in ms, unless `idleGrace` says otherwise: so that no request of a
 * client that keeps its connections crosses their close.
 */
const IDLE_GRACE = 1_000;

const BEFORE_SHUTDOWN: HookKind = { option: "beforeShutdown", limit: "beforeShutdownTimeout" };
const ON_DRAIN: HookKind = { option: "onDrain", limit: "timeout" };

/** What has started the end. */
export interface EndCause {
  readonly cause: string;
  /** Whether a successor serves by then in place of this process. */
  readonly isSucceeded: boolean;
}

/** Runs the phases between the decision to end and the exit code. */
export async function endPhases(
  servers: readonly DrivenServer[],
  end: EndCause,
  settings: GracefulSettings,
  teller: EventSink,
  failures: Failures,
): Promise<GracefulReport> {
  const { cause, isSucceeded } = end;
  const { timeout, hijacked, cleanups, cleanupTimeout, exit, beforeShutdownTimeout } = settings;
  const idleGrace = settings.idleGrace ?? defaultIdleGrace(end, timeout);
  const drainDelay = isSucceeded || areClosed(servers) ? 0 : settings.drainDelay;
  // At an upgrade the service does not go away.
  const beforeShutdown = isSucceeded ? [] : settings.beforeShutdown;
  const notice = isSucceeded ? undefined : new StopNotice(teller);

  teller.tell({ type: "ending", cause, drainDelay });
  notice?.stopping(
    Math.max(drainDelay, beforeShutdown.length > 0 ? beforeShutdownTimeout : 0) + timeout,
  );
  await Promise.all([
    lameDuck(servers, drainDelay),
    runTogether(BEFORE_SHUTDOWN, beforeShutdown, beforeShutdownTimeout, failures),
  ]);

  const connections = connectionsOf(servers);
  const draining = drainAll(servers, { timeout, idleGrace, hijacked }, teller, failures);
  teller.tell({ type: "draining", cause, timeout, connections });
  const [{ reports, forced }] = await Promise.all([
    draining,
    runTogether(ON_DRAIN, settings.onDrain, timeout, failures),
  ]);
  teller.tell({ type: "drained", forced });

  const exitCodeSoFar = () => forced || failures.errors.length > 0 ? 1 : 0;
  // Before the cleanup, which may end the process itself.
  setExitCode(exitCodeSoFar());
  notice?.cleaningUp(cleanupTimeout + (exit === false ? 0 : exit));
  await cleanUp(cleanups, cleanupTimeout, failures);

  const exitCode = exitCodeSoFar();
  setExitCode(exitCode);
  const report = Object.freeze({
    cause,
    servers: Object.freeze(reports),
    forced,
    errors: failures.errors,
    exitCode,
  });
  teller.tell({ type: "ended", report });
  return report;
}

function areClosed(servers: readonly DrivenServer[]): boolean {
  return servers.length > 0 && servers.every(({ state }) => state === "closed");
}

/** Returns the grace of idle connections: none after Ctrl-C, for a person waits. */
function defaultIdleGrace({ cause }: EndCause, timeout: number): number {
  const isPressed = cause === "SIGINT" && isOnTerminal();
  return isPressed ? 0 : Math.min(IDLE_GRACE, timeout / 2);
}
