import { setTimeout as sleep } from "node:timers/promises";
import type { DrivenServer } from "../server.ts";
import { cleanUp } from "./cleanup.ts";
import { connectionsOf, drainAll, lameDuck } from "./drain_servers.ts";
import type { Teller } from "./events.ts";
import type { GracefulSettings } from "./graceful_options.ts";
import type { GracefulReport } from "./graceful_report.ts";
import { setExitCode } from "./process_exit.ts";
import { StopNotice } from "./stop_notice.ts";

/** How long idle connections stay open after an upgrade, in ms, unless `idleGrace` says otherwise. */
const UPGRADE_IDLE_GRACE = 1_000;

/**
 * In ms. While this process found out what is to be done, requests have arrived on connections that
 * seem idle, and connections in the accept queue: a few rounds of its event loop for them. Measured
 * behind a load balancer, without it twice as many are lost where there is no `drainDelay`.
 */
const CATCHING_UP = 5;

/** What has started the end. */
export interface EndCause {
  readonly cause: string;
  /** Whether a successor serves by then, where this process did. */
  readonly isSucceeded: boolean;
}

/** What happens between the decision to end and the exit code. */
export async function endPhases(
  servers: readonly DrivenServer[],
  { cause, isSucceeded }: EndCause,
  settings: GracefulSettings,
  teller: Teller,
): Promise<GracefulReport> {
  const { timeout, hijacked, cleanups, cleanupTimeout, exit } = settings;
  const { idleGrace = isSucceeded ? Math.min(UPGRADE_IDLE_GRACE, timeout / 2) : 0 } = settings;
  const drainDelay = isSucceeded || areClosed(servers) ? 0 : settings.drainDelay;
  const notice = isSucceeded ? undefined : new StopNotice(teller);
  const errors: unknown[] = [];
  const onError = (what: string, error: unknown) => {
    // Closing by force tells once more of a listener that could not be closed.
    if (errors.includes(error)) return;
    errors.push(error);
    teller.failed(what, error);
  };

  teller.tell({ type: "ending", cause, drainDelay });
  notice?.stopping(drainDelay + timeout);
  await lameDuck(servers, drainDelay);

  const connections = connectionsOf(servers);
  await sleep(CATCHING_UP);
  const draining = drainAll(servers, { timeout, idleGrace, hijacked }, teller, onError);
  teller.tell({ type: "draining", cause, timeout, connections });
  const { reports, forced } = await draining;
  teller.tell({ type: "drained", forced });

  const exitCodeSoFar = () => forced || errors.length > 0 ? 1 : 0;
  // Before the cleanup, which may end the process itself.
  setExitCode(exitCodeSoFar());
  notice?.cleaningUp(cleanupTimeout + (exit === false ? 0 : exit));
  await cleanUp(cleanups, cleanupTimeout, onError);

  const exitCode = exitCodeSoFar();
  setExitCode(exitCode);
  const report = { cause, servers: reports, forced, errors, exitCode };
  teller.tell({ type: "ended", report });
  return report;
}

function areClosed(servers: readonly DrivenServer[]): boolean {
  return servers.length > 0 && servers.every(({ state }) => state === "closed");
}
