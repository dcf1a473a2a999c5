import { adopt } from "../adopt.ts";
import type { NativeServer } from "../runtime/native_servers.ts";
import { DrivenServer } from "../server/driven_server.ts";
import type { Server } from "../server/server.ts";
import { connectionsOf } from "./deadline.ts";
import { endPhases } from "./phases.ts";
import { Exceptions } from "./exceptions.ts";
import { Failures } from "./failures.ts";
import { GracefulCall } from "./end_of_process.ts";
import { type EventLog, EventSink } from "./events.ts";
import { type GracefulOptions, type GracefulSettings, gracefulSettings } from "./options.ts";
import { logToStderr } from "./log.ts";
import { reportOtherListeners } from "./other_listeners.ts";
import { Primary } from "./primary.ts";
import { SupervisorLoss } from "./supervisor_loss.ts";
import { ParentMessage } from "./parent_message.ts";
import { unrefParentChannel } from "../runtime/host/parent_channel.ts";
import { exitAfter } from "./exit.ts";
import type { GracefulReport } from "./report.ts";
import { type AppWithServer, serversOf } from "./servers_of.ts";
import { GracefulSignals } from "./signals.ts";
import { Succession } from "./succession.ts";
import { feedWatchdog } from "../systemd/watchdog.ts";
import { checkNodeVersion } from "../runtime/host/node_version.ts";

/**
 * Ends the process gracefully. Waits for SIGINT or SIGTERM, for `signal`, for a successor that has taken
 * over, for a server that finishes on its own, for a worker of `node:cluster` to lose its primary or a
 * worker of `graceful run` to lose its supervisor, or for the events that `shutdownOnMessage` and
 * `exceptions` enable. Then, in this order:
 *
 * 1. readiness fails, the servers keep serving in the lame-duck phase for `drainDelay`, and the
 *    functions of `beforeShutdown` run;
 * 2. all servers shut down and the functions of `onDrain` run, under the one deadline of `timeout`;
 * 3. connections that are left at the deadline are closed by force;
 * 4. the `cleanup` functions run, the last one first, under `cleanupTimeout`;
 * 5. `process.exitCode` is set: 0 when drained, 1 when forced or when something has failed.
 *
 * The process then ends by itself, or 1 s later by force (`exit`), and so within `drainDelay` (or a
 * longer `beforeShutdownTimeout`) `+ timeout + cleanupTimeout + 1.5 s`, as long as the event loop turns.
 *
 * A second signal closes everything and ends the process at once, without the cleanup; the exit code is 128
 * plus the number of the signal. Signals that arrive within 500 ms of the first one count as copies of it,
 * whatever their names, because runners send several signals for one end. A signal that the process sends to
 * itself with `process.kill` during the end, as libraries do when they have stopped, also counts as a copy.
 *
 * Under systemd, `graceful` sends `READY=1` when it is called, `STOPPING=1` when the end is decided,
 * `EXTEND_TIMEOUT_USEC` with each phase, and `WATCHDOG=1` where the unit has a `WatchdogSec=`. If this process is the
 * successor in an upgrade, its predecessor sends the `READY=1`, together with `MAINPID`. A worker of `graceful run`
 * tells its supervisor that it is ready; the supervisor speaks to systemd. A parent process that has opened a channel
 * gets the message `"ready"`, which pm2 waits for where `wait_ready` is set.
 *
 * `graceful` may be called several times, for different servers or the same ones: each call ends the servers
 * it was given, with its own cleanup. The process ends when all calls are done. Readiness fails, and systemd
 * is told, when all calls have decided to end. If a server is already closed, the end begins at once.
 *
 * An app whose property `server` is its server may be passed instead of the server, once the app listens: an
 * app of Fastify (whose additional servers for `localhost` are then drained too), of Polka, or of Elysia on
 * Bun.
 *
 * In a worker thread, which no signal reaches, `graceful` needs `signal`.
 *
 * @throws {TypeError} If an option has the wrong type, a value is not a server, or there is no `signal` in a
 * worker thread.
 * @throws {RangeError} If an option is out of range.
 * @throws {UpgradeError} If `upgradeOn` is given and a server cannot be handed over.
 *
 * @example
 * ```ts
 * import { graceful, serve } from "@x/graceful";
 *
 * const server = await serve(() => new Response("hello"), { port: 9527 });
 * await graceful(server, { timeout: 15_000, cleanup: () => console.log("bye") });
 * ```
 */
export async function graceful(
  servers:
    | Server
    | NativeServer
    | AppWithServer
    | readonly (Server | NativeServer | AppWithServer)[],
  options: GracefulOptions = {},
): Promise<GracefulReport> {
  checkNodeVersion();
  const settings = gracefulSettings(options);
  const driven = [...new Set([servers].flat().flatMap(serversOf).map(asDriven))];
  const events = new EventSink(logOf(settings));
  const { upgradeOn, upgrader } = settings;
  const failures = new Failures(events);
  const succession = new Succession(driven, upgradeOn, upgrader, events);
  const signals = new GracefulSignals(settings.signals, (signal, exitCode) => {
    if (events.isHeard("interrupted")) {
      events.emit({ type: "interrupted", signal, exitCode, connections: connectionsOf(driven) });
    }
    for (const server of driven) server.close().catch(() => {});
  });
  const call = new GracefulCall();
  const message = settings.shutdownOnMessage === undefined
    ? undefined
    : new ParentMessage(settings.shutdownOnMessage);
  const primary = new Primary();
  const loss = new SupervisorLoss();
  const exceptions = settings.exceptions === undefined ? undefined : new Exceptions(failures);
  let livesOn = true;
  try {
    await succession.begin(driven);
    feedWatchdog();
    reportOtherListeners(settings.signals, events);
    const causes = [message?.first, exceptions?.first, primary.first, loss.first]
      .filter((cause) => cause !== undefined);
    const cause = await firstCause(driven, settings.signal, signals, succession, causes);
    events.start();
    // Libraries may have added listeners since the call.
    reportOtherListeners(settings.signals, events);
    const { isSucceeded } = succession;
    call.decide(isSucceeded ? "upgraded" : cause);
    await succession.end();
    const end = { cause, isSucceeded, supervisorGone: loss.first };
    const report = await endPhases(driven, end, settings, events, failures);
    livesOn = settings.exit === false;
    if (settings.exit !== false) {
      unrefParentChannel();
      exitAfter(settings.exit, events);
    }
    return report;
  } finally {
    if (livesOn) {
      signals.release();
      exceptions?.release();
      primary.release();
    }
    message?.release();
    loss.release();
    succession.release();
    call.done(livesOn);
  }
}

function asDriven(server: DrivenServer | NativeServer): DrivenServer {
  // The cast: `adopt` returns a DrivenServer, as `serve` does.
  return server instanceof DrivenServer ? server : adopt(server) as DrivenServer;
}

function logOf({ log = logToStderr }: GracefulSettings): EventLog | undefined {
  return log === false ? undefined : log;
}

/** Resolves with the cause that starts the end. */
async function firstCause(
  servers: readonly DrivenServer[],
  signal: AbortSignal | undefined,
  signals: GracefulSignals,
  succession: Succession,
  others: readonly Promise<string>[],
): Promise<string> {
  const aborted = Promise.withResolvers<string>();
  const onAbort = () => aborted.resolve("aborted");
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort);
  const cause = await Promise.race([
    signals.first,
    aborted.promise,
    ...others,
    ...servers.map(({ finished }) => finished.then(() => "finished")),
    succession.succeeded.then(() => "upgraded"),
    succession.hungUp,
  ]);
  signal?.removeEventListener("abort", onAbort);
  // After an upgrade the next signal is the first signal, which does not force the end.
  if (cause !== "upgraded") signals.expectForce();
  if (cause === "disconnected") signals.expectCopies();
  return cause;
}
