/** The time from the end of the last response to the end of the shutdown. */
import type { Runtime } from "../support/runtimes.ts";
import { stoppersOf } from "./contestants.ts";
import { ServerProcess } from "./server_process.ts";
import { quantile } from "./stats.ts";

/** The drains of one server, in ms; the times are null if each took more than a second. */
export interface DrainResult {
  readonly runtime: Runtime;
  readonly contestant: string;
  readonly runs: number;
  /** How many of the runs took more than a second, and are not in the times. */
  readonly late: number;
  readonly median: number | null;
  readonly p99: number | null;
}

/** The runs of one round. */
const RUNS = 5;

/** The time in ms for the runs of one round, for servers that take seconds for each. */
const BUDGET = 500;

/** What the rounds have shown of one server. */
interface Entrant {
  readonly name: string;
  readonly server?: ServerProcess;
  readonly latencies: number[];
  late: number;
}

/** Drains each server with a single request in flight, in rounds that take turns. */
export async function measureDrain(
  runtime: Runtime,
  rounds: number,
): Promise<DrainResult[]> {
  await using servers = new AsyncDisposableStack();
  const entrants: Entrant[] = [];
  for (const contestant of stoppersOf(runtime)) {
    const server = servers.use(await ServerProcess.start(contestant));
    // The first runs load what a shutdown needs.
    const { latencies, late } = await server.drain(3, BUDGET);
    // A server that is late each time is not waited for again.
    const rest = latencies.length === 0 ? { late } : { late: 0, server };
    entrants.push({ name: contestant.name, latencies: [], ...rest });
  }
  for (let round = 0; round < rounds; round++) {
    for (const entrant of entrants) await takeTurn(entrant);
  }
  return entrants.map(({ name, latencies, late }) => ({
    runtime,
    contestant: name,
    runs: latencies.length + late,
    late,
    median: latencies.length === 0 ? null : quantile(latencies, 0.5),
    p99: latencies.length === 0 ? null : quantile(latencies, 0.99),
  }));
}

async function takeTurn(entrant: Entrant): Promise<void> {
  if (entrant.server === undefined) return;
  const { latencies, late } = await entrant.server.drain(RUNS, BUDGET);
  entrant.latencies.push(...latencies);
  entrant.late += late;
}
