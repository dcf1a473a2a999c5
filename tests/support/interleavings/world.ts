import { PendingWork } from "../../../src/core/pending_work.ts";
import { DrainNotice } from "../../../src/core/drain_notice.ts";
import type { ConnState } from "../../../src/core/conn.ts";
import type { ShutdownReport } from "../../../src/core/report.ts";
import type { ShutdownOptions } from "../../../src/options/shutdown.ts";
import { DrivenServer } from "../../../src/server/driven_server.ts";
import { CountedSignal } from "../counted_signal.ts";
import { Call } from "./call.ts";
import { type Fate, ScriptedConn } from "./scripted_conn.ts";
import { type ListenerState, ScriptedDriver } from "./scripted_driver.ts";
import { VirtualTime } from "./virtual_time.ts";

/** The deadline of the call that has one, in ms. */
export const DEADLINE = 7_000;
/** The pause between two full polls, in ms. */
export const POLL = 1_000;

/** What is there when a schedule begins, and what can happen in it. */
export interface Scenario {
  readonly name: string;
  /** The states of the connections `A`, `B`, … that are open. */
  readonly conns: readonly ConnState[];
  /** Whether the listener closes at once, or when an event says so. */
  readonly listener?: "waits";
  /** Whether a hook of `onShutdown` returns at once, or when an event says so. */
  readonly hook?: "waits";
  /** Whether a connection waits in the accept queue. */
  readonly queue?: boolean;
  /** Whether a promise of `waitUntil` is open. */
  readonly work?: boolean;
  /** The option of all calls of `shutdown`. */
  readonly hijacked?: "ignore";
  readonly events: readonly Event[];
}

/** What is so at a moment, as the schedule knows it. */
export interface Facts {
  readonly isClosing: boolean;
  readonly listener: ListenerState;
  /** The states of the open connections, by name. */
  readonly open: ReadonlyMap<string, ConnState>;
  readonly hasWork: boolean;
  /** Whether the application has time for its last messages, before WebSockets are told to close. */
  readonly hasLastWords: boolean;
  /** How the connections have ended that were open in the drain. */
  readonly fates: Readonly<Record<Fate, number>>;
}

/** The parts of a server that are scripted, and what has happened to them in one schedule. */
export class World {
  readonly time: VirtualTime;
  readonly driver: ScriptedDriver;
  readonly server: DrivenServer;
  readonly scenario: Scenario;
  readonly calls: Call<Facts>[] = [];
  readonly signal: CountedSignal = new CountedSignal();
  /** What the server has done that it must not do at any time. */
  readonly misuses: string[] = [];
  /** What was reported on the console. */
  readonly reported: unknown[] = [];
  /** How often each message was published. */
  readonly published: Record<string, number> = {};
  readonly listenerError: Error = new Error("the listener fails to close");
  readonly hookError: Error = new Error("the hook fails");
  readonly faults: Record<"notice" | "hook", Error> = {
    notice: new Error("draining throws"),
    hook: new Error("a hook throws"),
  };
  drainStartedAt: number | undefined;
  closedAt: number | undefined;
  abortedAt: number | undefined;
  /** When the listener was closed, or closing it had failed. */
  listenerSettledAt: number | undefined;
  noticed = 0;
  hooksRun = 0;
  #hooksRunAt = 0;
  #isHookDone = false;
  hasHookFailed = false;
  finished = 0;
  hasWork = false;
  readonly #conns: ScriptedConn[] = [];
  readonly #hook = Promise.withResolvers<void>();
  readonly #work = Promise.withResolvers<void>();
  #state: "serving" | "draining" | "closed" = "serving";

  constructor(scenario: Scenario, time: VirtualTime) {
    this.scenario = scenario;
    this.time = time;
    const misuse = (what: string) => void this.misuses.push(`${what}, at ${time.now} ms`);
    this.driver = new ScriptedDriver(scenario.queue === true, misuse);
    const scope = { drainNotice: new DrainNotice(), pendingWork: new PendingWork() };
    const publish = (name: string) => {
      this.published[name] = (this.published[name] ?? 0) + 1;
    };
    this.server = new DrivenServer(this.driver, { scope, channels: { publish } });
    for (const state of scenario.conns) this.accept(state);
    if (scenario.listener !== "waits") this.driver.settleListener();
    if (scenario.hook !== "waits") this.#returnFromHook();
    if (scenario.work) this.#waitUntil();
    this.#listen();
  }

  /** The connections that are open, as their clients see it. */
  get open(): ScriptedConn[] {
    return this.#conns.filter((conn) => conn.state() !== "closed");
  }

  get facts(): Facts {
    const fates = { idle: 0, drained: 0, forced: 0 };
    for (const { fate } of this.#conns) if (fate !== undefined) fates[fate]++;
    return {
      isClosing: this.closedAt !== undefined,
      listener: this.driver.listener,
      open: new Map(this.open.map((conn) => [conn.name, conn.state()])),
      hasWork: this.hasWork,
      hasLastWords: this.#hasLastWords,
      fates,
    };
  }

  /** Takes note of what goes by: of the state, which must not go back. */
  observe(): void {
    const states = ["serving", "draining", "closed"];
    const { state } = this.server;
    if (states.indexOf(state) < states.indexOf(this.#state)) {
      this.misuses.push(`the state went from ${this.#state} back to ${state}`);
    }
    this.#state = state;
    const isSettled = this.driver.listener === "closed" || this.driver.listener === "failed";
    if (isSettled) this.listenerSettledAt ??= this.time.now;
  }

  /** Lets everything come to its end that the server waits for. */
  letGo(): void {
    this.driver.settleListener();
    this.driver.emptyQueue();
    for (const conn of this.open) conn.leave();
    this.#returnFromHook();
    this.#work.resolve();
    this.hasWork = false;
  }

  /** Describes what is so, for the one who replays a schedule. */
  toString(): string {
    const open = this.open.map((conn) => `${conn.name} ${conn.state()}`);
    const calls = this.calls.map(({ name, settlement }) =>
      `${name}() ${
        settlement === undefined ? "waits" : `${settlement.outcome} at ${settlement.at}`
      }`
    );
    return [
      `${this.time.now} ms`,
      this.server.state,
      `listener ${this.driver.listener}`,
      ...open,
      ...calls,
      `timers [${this.time.timers}]`,
    ].join(", ");
  }

  connection(name: string): ScriptedConn | undefined {
    return this.open.find((conn) => conn.name === name);
  }

  accept(state: ConnState): void {
    const conn = new ScriptedConn("ABC"[this.#conns.length]!, state, this.time.now, {
      gone: (conn) => this.#gone(conn),
      misuse: (what) => void this.misuses.push(what),
      mayDestroy: () => this.closedAt !== undefined,
    });
    this.#conns.push(conn);
    this.driver.accept(conn);
  }

  shutdown(name: string, options: ShutdownOptions): void {
    this.drainStartedAt ??= this.time.now;
    const { hijacked } = this.scenario;
    const all = { pollInterval: POLL, ...options, ...(hijacked && { hijacked }) };
    this.#call(name, this.server.shutdown(all));
  }

  close(): void {
    this.drainStartedAt ??= this.time.now;
    this.closedAt ??= this.time.now;
    this.#call("close", this.server.close());
  }

  abort(): void {
    this.abortedAt = this.time.now;
    this.signal.abort(this.signal);
  }

  failHook(): void {
    this.hasHookFailed = true;
    this.#isHookDone = true;
    this.#hook.reject(this.hookError);
  }

  endWork(): void {
    this.hasWork = false;
    this.#work.resolve();
  }

  #returnFromHook(): void {
    this.#isHookDone = true;
    this.#hook.resolve();
  }

  /** Last messages may take 5 s, or half of a deadline that is shorter than 10 s. */
  get #hasLastWords(): boolean {
    if (this.#isHookDone) return false;
    const time = this.calls[0]?.name === "shutdown" ? DEADLINE / 2 : 5_000;
    return this.hooksRun === 0 || this.time.now < this.#hooksRunAt + time;
  }

  #waitUntil(): void {
    this.hasWork = true;
    this.server.waitUntil(this.#work.promise);
  }

  #listen(): void {
    const { server, faults } = this;
    server.finished.then(() => this.finished++);
    server.draining.addEventListener("abort", () => {
      this.noticed++;
      throw faults.notice;
    });
    server.onShutdown(() => {
      this.hooksRun++;
      throw faults.hook;
    });
    server.onShutdown(() => {
      this.hooksRun++;
      this.#hooksRunAt = this.time.now;
      return this.#hook.promise;
    });
  }

  #call(name: string, promise: Promise<ShutdownReport | void>): void {
    this.calls.push(new Call(name, promise, () => this.time.now, () => this.facts));
  }

  /** A connection that ends before the drain is not counted. */
  #gone(conn: ScriptedConn): void {
    if (this.drainStartedAt === undefined) conn.fate = undefined;
    this.driver.gone(conn);
  }
}

/** The name of something that can happen. */
export type Event =
  | "shutdown"
  | "join"
  | "abort"
  | "close"
  | "closeAgain"
  | "arrives"
  | "queueEmpties"
  | "aBegins"
  | "bBegins"
  | "aAnswered"
  | "aAnsweredUnnoticed"
  | "bAnswered"
  | "aLeaves"
  | "bLeaves"
  | "hookFails"
  | "listenerCloses"
  | "listenerFails"
  | "workDone";

/** What can happen, once each. An event returns false if it cannot happen now. */
export const EVENTS: Readonly<Record<Event, (world: World) => void | false>> = {
  /** A call with a deadline. */
  shutdown: (world) => world.shutdown("shutdown", { timeout: DEADLINE }),
  /** Another call, with a signal. */
  join: (world) => world.shutdown("join", { signal: world.signal.signal }),
  /** The signal of the other call. */
  abort: (world) => world.abort(),
  close: (world) => world.close(),
  closeAgain: (world) => world.closedAt === undefined ? false : world.close(),
  arrives: (world) => world.driver.isAccepting ? world.accept("new") : false,
  /** The connection in the accept queue is accepted, with its request. */
  queueEmpties: (world) => {
    const { driver } = world;
    if (!driver.hasQueue || !driver.isAccepting) return false;
    world.accept("active");
    driver.emptyQueue();
  },
  aBegins: (world) => begins(world, "A"),
  bBegins: (world) => begins(world, "B"),
  aAnswered: (world) => answered(world, "A", true),
  /** Of an engine that does not announce the end of a response. */
  aAnsweredUnnoticed: (world) => answered(world, "A", false),
  bAnswered: (world) => answered(world, "B", true),
  aLeaves: (world) => leaves(world, "A"),
  bLeaves: (world) => leaves(world, "B"),
  hookFails: (world) => world.hooksRun === 0 ? false : world.failHook(),
  listenerCloses: (world) => settles(world, undefined),
  listenerFails: (world) => settles(world, world.listenerError),
  workDone: (world) => world.endWork(),
};

function begins(world: World, name: string): void | false {
  const conn = world.connection(name);
  if (conn === undefined || !["idle", "new"].includes(conn.state())) return false;
  conn.begin();
}

function answered(world: World, name: string, isAnnounced: boolean): void | false {
  const conn = world.connection(name);
  if (conn?.state() !== "active") return false;
  conn.answer(world.time.now, isAnnounced);
}

function leaves(world: World, name: string): void | false {
  const conn = world.connection(name);
  if (conn === undefined) return false;
  conn.leave();
}

function settles(world: World, error: Error | undefined): void | false {
  if (world.driver.listener !== "closing") return false;
  world.driver.settleListener(error);
}
