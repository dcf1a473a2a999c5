import { isOnTerminal } from "../runtime/host/terminal.ts";
import type { DrivenServer } from "../server/driven_server.ts";
import { cleanUp } from "./cleanup.ts";
import { connectionsOf, drainAll } from "./deadline.ts";
import { lameDuck } from "./lame_duck.ts";
import type { EventSink } from "./events.ts";
import type { Failures } from "./failures.ts";
import type { GracefulSettings } from "./options.ts";
import type { GracefulReport } from "./report.ts";
import { type HookKind, runTogether } from "./hooks.ts";
import { setExitCode } from "./exit.ts";
import { StopNotice } from "./stop_notice.ts";

/**
 * The number of milliseconds for which idle connections stay open, unless `idleGrace` says otherwise, so that no
 * request of a client that keeps its connections crosses a close.
 */
const IDLE_GRACE = 1_000;

const BEFORE_SHUTDOWN: HookKind = { option: "beforeShutdown", limit: "beforeShutdownTimeout" };
const ON_DRAIN: HookKind = { option: "onDrain", limit: "timeout" };

/** The cause of the end. */
export interface EndCause {
  readonly cause: string;
  /** Whether a successor serves in place of this process. */
  readonly isSucceeded: boolean;
  /** Resolves when the supervisor of this process is gone. The next supervisor then waits for the addresses. */
  readonly supervisorGone: Promise<unknown>;
}

/** Runs the phases between the decision to end and the exit code. */
export async function endPhases(
  servers: readonly DrivenServer[],
  end: EndCause,
  settings: GracefulSettings,
  events: EventSink,
  failures: Failures,
): Promise<GracefulReport> {
  const { cause, isSucceeded } = end;
  const { timeout, hijacked, cleanups, cleanupTimeout, exit, beforeShutdownTimeout } = settings;
  const idleGrace = settings.idleGrace ?? defaultIdleGrace(end, timeout);
  const drainDelay = isSucceeded || areClosed(servers) ? 0 : settings.drainDelay;
  // After an upgrade the service continues in the successor, so it must not be deregistered.
  const beforeShutdown = isSucceeded ? [] : settings.beforeShutdown;
  const notice = isSucceeded ? undefined : new StopNotice(events);

  events.emit({ type: "ending", cause, drainDelay });
  notice?.stopping(
    Math.max(drainDelay, beforeShutdown.length > 0 ? beforeShutdownTimeout : 0) + timeout,
  );
  await Promise.all([
    lameDuck(servers, drainDelay, end.supervisorGone),
    runTogether(BEFORE_SHUTDOWN, beforeShutdown, beforeShutdownTimeout, failures),
  ]);

  const connections = events.isHeard("draining") ? connectionsOf(servers) : [];
  if (isSucceeded) { for (const server of servers) server.expectRestart(); }
  const draining = drainAll(servers, { timeout, idleGrace, hijacked }, events, failures);
  events.emit({ type: "draining", cause, timeout, connections });
  const [{ reports, forced }] = await Promise.all([
    draining,
    runTogether(ON_DRAIN, settings.onDrain, timeout, failures),
  ]);
  events.emit({ type: "drained", forced });

  const exitCodeSoFar = () => forced || failures.errors.length > 0 ? 1 : 0;
  // The exit code is set before the cleanup, which may end the process itself.
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
  events.emit({ type: "ended", report });
  return report;
}

function areClosed(servers: readonly DrivenServer[]): boolean {
  return servers.length > 0 && servers.every(({ state }) => state === "closed");
}

/**
 * Returns the default grace of idle connections in milliseconds: 0 after Ctrl-C on a terminal, where a person
 * waits.
 */
function defaultIdleGrace({ cause }: EndCause, timeout: number): number {
  const isPressed = cause === "SIGINT" && isOnTerminal();
  return isPressed ? 0 : Math.min(IDLE_GRACE, timeout / 2);
}
