import type { ShutdownReport } from "../../../src/core/report.ts";
import type { Call, Settlement } from "./call.ts";
import { DEADLINE, type Facts, POLL, type World } from "./world.ts";

/** For how long a call waits past its deadline for a listener that does not close, in ms. */
const LISTENER_WAIT = 100;
/** The age at which a connection is closed that has sent nothing, in ms: Go's. */
const OLD = 5_000;

/** The rules of section 2 of the design, in words. Each holds whenever nothing happens without time passing. */
const RULES: Readonly<Record<string, (world: World) => boolean>> = {
  "the state is serving until the first call, closed when nothing is left or close() was called, else draining":
    (
      world,
    ) => world.server.state === stateOf(world),
  "finished resolves once, when the server is closed": ({ server, finished }) =>
    finished === (server.state === "closed" ? 1 : 0),
  "draining aborts once, with the first call": ({ server, noticed, drainStartedAt }) =>
    server.draining.aborted === (drainStartedAt !== undefined) &&
    noticed === (drainStartedAt === undefined ? 0 : 1),
  "each hook runs once, as soon as new connections are refused": ({ hooksRun, driver }) =>
    hooksRun === (driver.listener === "open" ? 0 : 2),
  "what user code throws is reported once, and nothing else is": (world) =>
    isSameList(world.reported, [
      ...(world.noticed > 0 ? [world.faults.notice] : []),
      ...(world.hooksRun > 0 ? [world.faults.hook] : []),
      ...(world.hasHookFailed ? [world.hookError] : []),
    ]),
  "each call waits only for what is left, and no longer than it may": (world) =>
    world.calls.every((call) => call.settlement !== undefined || mayWait(world, call)),
  "each call of shutdown is published once at its start and once at its end": (world) => {
    const calls = world.calls.filter(isShutdown);
    const ended = calls.filter(({ settlement }) => settlement !== undefined);
    const { published } = world;
    return (published["graceful.shutdown.start"] ?? 0) === calls.length &&
      (published["graceful.shutdown.end"] ?? 0) === ended.length;
  },
  "an idle connection is closed at once if its end was announced, else at the next poll": (world) =>
    !isPolling(world) || world.open.every((conn) =>
      conn.state() !== "idle" ||
      (!conn.isNoticed && world.time.now - since(world, conn.idleSince) < POLL)
    ),
  "a connection that has sent nothing is closed at the next poll after it is 5 s old": (world) =>
    !isPolling(world) ||
    world.open.every((conn) =>
      conn.state() !== "new" || world.time.now - since(world, conn.acceptedAt + OLD) < POLL
    ),
  "close() waits for no accept queue": ({ driver, closedAt }) =>
    closedAt === undefined || driver.listener !== "open",
  "close() leaves no connection": ({ open, closedAt }) =>
    closedAt === undefined || open.length === 0,
  "connections() lists what is open, and nothing after close()": (world) =>
    isListed(world.server.connections(), world.facts),
  "a report does not change once it was handed out": ({ calls }) =>
    calls.every(({ settlement }) =>
      settlement === undefined || JSON.stringify(settlement.report) === settlement.copy
    ),
  "no timer is left when the server is closed and no call waits, nor while it serves": (world) =>
    !(isDone(world) || world.server.state === "serving") || world.time.timers.length === 0,
  "no more timers are set than there are deadlines, pauses of polls and last messages to wait for":
    (
      world,
    ) => world.time.timers.length <= timersOf(world),
  "no listener of the caller's signal is left when its call has ended": ({ signal, calls }) =>
    signal.listeners === 0 ||
    calls.some(({ name, settlement }) => name === "join" && settlement === undefined),
};

/** The rules for how a call of `shutdown` ends. `facts` is what was so at that moment. */
const RULES_OF_SHUTDOWN: Readonly<
  Record<string, (world: World, call: Call<Facts>, settled: Settlement<Facts>) => boolean>
> = {
  "the outcome is closed, drained, timeout or aborted, as it is; or the listener's error": (
    world,
    call,
    { outcome, facts, error },
  ) => {
    const isOver = isNothingLeft(world, facts);
    if (outcome === "failed") {
      return facts.listener === "failed" && (isOver || facts.isClosing) &&
        error === world.listenerError;
    }
    if (facts.isClosing && facts.listener === "failed") return false;
    if (facts.isClosing) return outcome === "closed" && facts.listener === "closed";
    if (isOver) return outcome === "drained" && facts.listener === "closed";
    return outcome === (call.name === "join" ? "aborted" : "timeout");
  },
  "a call without success ends at its deadline, or up to 100 ms later if the listener does not close":
    (
      world,
      call,
      { outcome, at },
    ) => {
      if (outcome !== "timeout" && outcome !== "aborted") return true;
      const late = at - limitOf(world, call);
      return late === 0 || (late > 0 && late <= LISTENER_WAIT && isLate(world, call));
    },
  "the error has the cause": (world, _, { outcome, error }) => {
    if (!(error instanceof Error) || outcome === "failed") return true;
    return outcome === "aborted"
      ? error.cause === world.signal
      : error.cause instanceof DOMException && error.cause.name === "TimeoutError";
  },
  "the report counts how connections ended": (_, __, { report, facts: { fates } }) =>
    report === undefined ||
    (report.idle === fates.idle && report.drained === fates.drained &&
      report.forced === fates.forced),
  "the report lists what is open": (_, __, { report, facts }) =>
    report === undefined || isListed(report.connections, facts),
  "the report has the duration of the call": (_, { startedAt }, { report, at }) =>
    report === undefined || report.duration === at - startedAt,
};

/** Returns the rules that are broken although nothing happens any more without time passing. */
export function brokenRules(world: World): string[] {
  const broken = Object.entries(RULES).filter(([, holds]) => !holds(world)).map(([rule]) => rule);
  for (const call of world.calls) {
    const { settlement } = call;
    if (settlement === undefined) continue;
    if (isShutdown(call)) {
      for (const [rule, holds] of Object.entries(RULES_OF_SHUTDOWN)) {
        if (!holds(world, call, settlement)) broken.push(`${call.name}: ${rule}`);
      }
    } else if (!isRightEndOfClose(world, settlement)) {
      broken.push("close() resolves, or rejects with the listener's error");
    }
  }
  return [...world.misuses, ...broken];
}

/** Whether every call has ended and the server is closed. */
export function isDone({ server, calls }: World): boolean {
  return server.state === "closed" && calls.every(({ settlement }) => settlement !== undefined);
}

function isShutdown({ name }: Call<Facts>): boolean {
  return name !== "close";
}

function isRightEndOfClose(world: World, { outcome, error, facts }: Settlement<Facts>): boolean {
  return facts.listener === "failed"
    ? error === world.listenerError
    : outcome === "done" && facts.listener === "closed";
}

function stateOf(world: World): "serving" | "draining" | "closed" {
  if (world.drainStartedAt === undefined) return "serving";
  return world.closedAt !== undefined || isNothingLeft(world, world.facts) ? "closed" : "draining";
}

/** Whether the server has nothing left to wait for. */
function isNothingLeft(
  { scenario }: World,
  { listener, open, hasWork, hasLastWords }: Facts,
): boolean {
  // WebSockets that nobody waits for must have been told that they are left.
  const isIgnoring = scenario.hijacked === "ignore" && !hasLastWords;
  const waits = [...open.values()].filter((state) => !(state === "hijacked" && isIgnoring));
  return isSettled(listener) && waits.length === 0 && !hasWork;
}

function isSettled(listener: Facts["listener"]): boolean {
  return listener === "closed" || listener === "failed";
}

/** Whether polls close connections: a drain has started, and the listener is closed. */
function isPolling(world: World): boolean {
  return world.drainStartedAt !== undefined && isSettled(world.driver.listener);
}

/** The later of a time and the time from which polls close connections. */
function since(world: World, time: number): number {
  return Math.max(time, world.listenerSettledAt ?? Infinity);
}

/** The most timers that a server needs: one loop of polls goes on behind all calls that have given up. */
function timersOf({ calls, facts, hooksRun }: World): number {
  const waiting = calls.filter((call) => isShutdown(call) && call.settlement === undefined);
  const deadlines = waiting.filter(({ name }) => name === "shutdown").length;
  const goesOn = calls.some(({ settlement }) =>
    settlement?.outcome === "timeout" || settlement?.outcome === "aborted"
  );
  const hasLastWords = facts.hasLastWords && hooksRun > 0;
  return waiting.length + deadlines + Number(goesOn) + Number(hasLastWords);
}

/** The time at which a call stops waiting. */
function limitOf(world: World, { name, startedAt }: Call<Facts>): number {
  if (name === "shutdown") return startedAt + DEADLINE;
  if (name === "join") return Math.max(startedAt, world.abortedAt ?? Infinity);
  return Infinity;
}

function mayWait(world: World, call: Call<Facts>): boolean {
  const { facts, time } = world;
  // After close() every call waits for the listener alone, as a driver closes it soon.
  if (facts.isClosing) return !isSettled(facts.listener);
  const limit = limitOf(world, call) + (isLate(world, call) ? LISTENER_WAIT : 0);
  return time.now < limit && !isNothingLeft(world, facts);
}

/** Whether the listener was not closed at the deadline of a call. */
function isLate(world: World, call: Call<Facts>): boolean {
  return (world.listenerSettledAt ?? Infinity) > limitOf(world, call);
}

function isListed(connections: ShutdownReport["connections"], facts: Facts): boolean {
  if (facts.isClosing) return connections.length === 0;
  const expected = [...facts.open].map(([name, state]) => `${name} ${state}`);
  if (facts.hasWork) expected.push("listener active");
  return isSameList(
    connections.map(({ remoteAddr, state }) => `${addressOf(remoteAddr)} ${state}`),
    expected,
  );
}

function addressOf(addr: ShutdownReport["connections"][number]["remoteAddr"]): string {
  return addr.transport === "unix" ? addr.path : addr.hostname;
}

function isSameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}
