import { brokenRules, isDone } from "./rules.ts";
import { type Event, EVENTS, POLL, type Scenario, World } from "./world.ts";
import { VirtualTime } from "./virtual_time.ts";

/** What can pass between two events: nothing, a turn of the event loop, or time and all turns that follow. */
export type Gap = "at once" | "a turn" | "a poll" | "5 s" | "8 s";

const GAPS: Readonly<Record<Gap, ((time: VirtualTime) => Promise<void>) | undefined>> = {
  "at once": undefined,
  "a turn": (time) => time.turn(),
  "a poll": (time) => restAndPass(time, POLL),
  "5 s": (time) => restAndPass(time, 5_000),
  "8 s": (time) => restAndPass(time, LATE),
};

async function restAndPass(time: VirtualTime, ms: number): Promise<void> {
  await time.rest();
  await time.pass(ms);
}

/** What happens after which gap. The first gap is behind the start of the server. */
export type Schedule = readonly (readonly [Gap, Event])[];

/** A schedule after which rules are broken. */
export interface Failure {
  readonly scenario: string;
  readonly schedule: Schedule;
  readonly broken: readonly string[];
}

/** What came of all schedules of a scenario. */
export interface Sweep {
  readonly scenario: string;
  /** The number of schedules that were run. */
  readonly count: number;
  readonly failures: readonly Failure[];
}

/** In ms: more than the deadline. */
const LATE = 8_000;

/** The number of failures after which a sweep ends. */
const ENOUGH = 3;

/** The gaps between events, and the most events of a schedule that has them. */
const REACH: readonly (readonly [readonly Gap[], number])[] = [
  [["at once", "a poll", "5 s", "8 s"], 3],
  [["at once", "a turn"], 4],
  [["at once"], 6],
];

/** Runs every schedule of a scenario within {@linkcode REACH}. */
export async function sweep(scenario: Scenario): Promise<Sweep> {
  const failures: Failure[] = [];
  const run = new Set<string>();
  for (const [gaps, length] of REACH) {
    failures.push(...await runAll(scenario, gaps, length, run));
  }
  return { scenario: scenario.name, count: run.size, failures };
}

/**
 * Runs every schedule in which at most `length` events happen, once each, in every order, with each of the gaps between
 * them. A schedule is run before those that begin with it, and these are left out if it fails or if its last event
 * cannot happen. Adds to `run` what was run, which is not run again.
 */
async function runAll(
  scenario: Scenario,
  gaps: readonly Gap[],
  length: number,
  run: Set<string>,
): Promise<Failure[]> {
  const failures: Failure[] = [];
  const extend = async (schedule: Schedule): Promise<void> => {
    for (const longer of extensions(scenario, gaps, schedule)) {
      if (failures.length >= ENOUGH) return;
      const key = JSON.stringify(longer);
      const broken = run.has(key) ? [] : await runSchedule(scenario, longer);
      if (broken === undefined) continue;
      run.add(key);
      if (broken.length > 0) failures.push({ scenario: scenario.name, schedule: longer, broken });
      else if (longer.length < length) await extend(longer);
    }
  };
  await extend([]);
  return failures;
}

/** Returns the schedules that are one event longer than a schedule. Nothing passes before the first event. */
function extensions(
  { events }: Scenario,
  gaps: readonly Gap[],
  schedule: Schedule,
): Schedule[] {
  const used = new Set(schedule.map(([, event]) => event));
  return events.filter((event) => !used.has(event)).flatMap((event) =>
    (schedule.length === 0 ? ["at once" as const] : gaps)
      .map((gap) => [...schedule, [gap, event] as const])
  );
}

/**
 * Runs a schedule, and then lets everything end that the server waits for. Returns the rules that were broken, or
 * undefined if an event cannot happen when its turn comes. `tell` is called with what happens.
 */
export async function runSchedule(
  scenario: Scenario,
  schedule: Schedule,
  tell?: (line: string) => void,
): Promise<readonly string[] | undefined> {
  const time = new VirtualTime();
  const { error: reportError } = console;
  let broken: readonly string[] | undefined;
  await time.use(async () => {
    const world = new World(scenario, time);
    console.error = (error) => void world.reported.push(error);
    try {
      broken = await play(world, schedule, tell && ((step) => tell(`${step}: ${world}`)));
    } finally {
      console.error = reportError;
    }
  });
  return broken;
}

async function play(
  world: World,
  schedule: Schedule,
  tell?: (step: string) => void,
): Promise<readonly string[] | undefined> {
  for (const [gap, event] of schedule) {
    const passed = GAPS[gap]?.(world.time);
    // Without the condition other code would run between two events that happen at once.
    if (passed !== undefined) await passed;
    world.observe();
    tell?.(gap);
    if (EVENTS[event](world) === false) {
      await end(world);
      return undefined;
    }
    tell?.(event);
  }
  await world.time.rest();
  const broken = look(world);
  tell?.("a rest");
  if (broken.length > 0) return broken;
  // Without a timer nothing happens in the time that passes.
  if (world.time.timers.length > 0) {
    await world.time.pass(LATE);
    const brokenLate = look(world);
    tell?.("8 s");
    if (brokenLate.length > 0) return brokenLate;
  }
  const brokenAtEnd = await end(world);
  tell?.("everything ends");
  return brokenAtEnd;
}

/** Lets everything end that the server waits for. Returns the rules that are broken then. */
async function end(world: World): Promise<readonly string[]> {
  world.letGo();
  await world.time.rest();
  const broken = look(world);
  const hangs = world.drainStartedAt !== undefined && !isDone(world);
  return [...broken, ...(hangs ? ["no call hangs when nothing is left"] : [])];
}

/** Takes note of what is so, and returns the rules that are broken. */
function look(world: World): readonly string[] {
  world.observe();
  return brokenRules(world);
}
