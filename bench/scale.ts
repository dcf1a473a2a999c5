/** The shutdown of a server with many connections. */
import type { Runtime } from "../support/runtimes.ts";
import type { Connection } from "./connection.ts";
import { type Contestant, stoppersOf } from "./contestants.ts";
import { openIdle } from "./idle_clients.ts";
import { maxOpenFiles } from "./open_files.ts";
import { ServerProcess } from "./server_process.ts";
import { median } from "./stats.ts";
import { clientOf, LOADS } from "./load.ts";

/** The shutdowns of one server with so many idle connections: the medians of the rounds. */
export interface ScaleResult {
  readonly runtime: Runtime;
  readonly contestant: string;
  readonly idle: number;
  readonly rounds: number;
  /** From the call to the end, in ms; or null if a shutdown did not end in time. */
  readonly time: number | null;
  /** The shortest and the longest of these times. */
  readonly times: readonly [number, number] | null;
  /** Processor time of the server, in ms. */
  readonly cpu: number | null;
  /** The longest stall of the event loop, in ms. */
  readonly stall: number | null;
  /** Resident memory a connection, in bytes. */
  readonly memory: number;
}

/** The shutdowns of one server with idle connections and requests in flight. */
export interface BusyResult {
  readonly runtime: Runtime;
  readonly contestant: string;
  readonly idle: number;
  readonly inFlight: number;
  readonly rounds: number;
  /** From the responses to the end, in ms; or null if a shutdown did not end in time. */
  readonly afterResponse: number | null;
  readonly afterResponses: readonly [number, number] | null;
}

/** The numbers of idle connections. Those beyond {@linkcode PEERS_UP_TO} are for the package and bare servers. */
const SIZES = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 50_000];
const PEERS_UP_TO = 8_000;

/** What the processes have open beside the connections. */
const OTHER_FILES = 500;

const BUSY_IDLE = 8_000;
const IN_FLIGHT = 100;

/** The time in ms after which a shutdown is not waited for any longer. */
const PATIENCE = 10_000;

/** Until the compilers have settled, and the heap has its working size. */
const WARM_UP_REQUESTS = 5_000;

/** What one run has shown. `shutdown` is undefined if it did not end in time. */
type Run = Awaited<ReturnType<typeof shutDown>>;

/** Measures the shutdowns with idle connections alone. */
export async function measureScale(
  runtime: Runtime,
  rounds: number,
): Promise<ScaleResult[]> {
  const results: ScaleResult[] = [];
  for (const idle of sizes()) {
    const contestants = stoppersOf(runtime)
      .filter(({ role }) => role !== "peer" || idle <= PEERS_UP_TO);
    // The largest ones take seconds each, and are measured once.
    const turns = idle <= PEERS_UP_TO ? rounds : 1;
    for (
      const [contestant, runs] of await takeTurns(contestants, turns, idle, 0)
    ) {
      const ended = runs.map(({ shutdown }) => shutdown).filter((one) => one !== undefined);
      const all = ended.length === runs.length ? ended : [];
      results.push({
        runtime,
        contestant: contestant.name,
        idle,
        rounds: turns,
        time: medianOf(all.map(({ time }) => time)),
        times: rangeOf(all.map(({ time }) => time)),
        cpu: medianOf(all.map(({ cpu }) => cpu / 1_000)),
        stall: medianOf(all.map(({ stall }) => stall)),
        memory: median(runs.map(({ memory }) => memory)),
      });
    }
  }
  return results;
}

/** Measures the shutdowns with idle connections and requests in flight. */
export async function measureBusy(
  runtime: Runtime,
  rounds: number,
): Promise<BusyResult[]> {
  const idle = Math.min(BUSY_IDLE, sizes().at(-1)!);
  const runs = await takeTurns(stoppersOf(runtime), rounds, idle, IN_FLIGHT);
  return [...runs].map(([contestant, runs]) => {
    const times = runs.map(({ shutdown }) => shutdown?.afterResponse ?? undefined)
      .filter((time) => time !== undefined);
    const all = times.length === runs.length ? times : [];
    return {
      runtime,
      contestant: contestant.name,
      idle,
      inFlight: IN_FLIGHT,
      rounds,
      afterResponse: medianOf(all),
      afterResponses: rangeOf(all),
    };
  });
}

/** The sizes that the limit of open files allows. */
function sizes(): number[] {
  const most = maxOpenFiles() - OTHER_FILES;
  const possible = SIZES.filter((size) => size <= most);
  return possible.length > 0 ? possible : [Math.max(1, most)];
}

async function takeTurns(
  contestants: readonly Contestant[],
  rounds: number,
  idle: number,
  inFlight: number,
): Promise<Map<Contestant, Run[]>> {
  const runs = new Map<Contestant, Run[]>(
    contestants.map((contestant) => [contestant, []]),
  );
  for (let round = 0; round < rounds; round++) {
    for (const [contestant, own] of runs) {
      own.push(await shutDown(contestant, idle, inFlight));
    }
  }
  return runs;
}

/** Shuts down a fresh server with that many connections. */
async function shutDown(
  contestant: Contestant,
  idle: number,
  inFlight: number,
) {
  await using server = await ServerProcess.start(contestant);
  await warmUp(server);
  const before = await server.memory();
  const connections = await openIdle(server.port, idle);
  const after = await server.memory();
  const answers = connections.slice(0, inFlight).map(sendLate);
  if (inFlight > 0) await server.waiting(inFlight);
  const shutdown = await inTime(server.shutdown());
  for (const connection of connections) connection.close();
  await Promise.all(answers);
  return { shutdown, memory: (after.rss - before.rss) / idle };
}

async function warmUp({ port }: ServerProcess): Promise<void> {
  const client = clientOf(LOADS.get, port);
  await client.send(WARM_UP_REQUESTS);
  client.close();
}

/** Sends a request that waits at the gate. A server that does not end in time does not answer it. */
async function sendLate(connection: Connection): Promise<void> {
  await connection.answerTo("GET /wait HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    .catch(() => {});
}

async function inTime<Value>(
  promise: Promise<Value>,
): Promise<Value | undefined> {
  // The server process is killed next, which would reject the promise.
  promise.catch(() => {});
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, PATIENCE);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function medianOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : median(values);
}

function rangeOf(values: readonly number[]): [number, number] | null {
  return values.length === 0 ? null : [Math.min(...values), Math.max(...values)];
}
