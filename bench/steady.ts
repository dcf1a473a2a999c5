/** Processor time of a request while nothing is shut down. */
import type { Runtime } from "../support/runtimes.ts";
import { type Contestant, contestantsOf } from "./contestants.ts";
import { type Client, clientOf, type LoadName, LOADS } from "./load.ts";
import { ServerProcess } from "./server_process.ts";
import { type Summary, summaryOf } from "./stats.ts";

/** What a request of one load costs one server. */
export interface SteadyResult {
  readonly runtime: Runtime;
  readonly contestant: string;
  readonly load: LoadName;
  /** Processor time of the server for a request, in µs. */
  readonly cpu: Summary;
  /** That time divided by the one of the bare server in the same round. */
  readonly ratio: Summary;
}

/** A contestant whose server runs. */
interface Entrant {
  readonly contestant: Contestant;
  readonly server: ServerProcess;
}

/** Until the compilers of the runtimes have settled. */
const WARM_UP_ROUNDS = 8;

/** Measures the contestants of a runtime, all of which run at the same time and take turns. */
export async function measureSteady(
  runtime: Runtime,
  rounds: number,
): Promise<SteadyResult[]> {
  await using servers = new AsyncDisposableStack();
  const entrants: Entrant[] = [];
  for (const contestant of contestantsOf(runtime)) {
    entrants.push({
      contestant,
      server: servers.use(await ServerProcess.start(contestant)),
    });
  }
  const results: SteadyResult[] = [];
  // The cast: the keys are the names.
  for (const load of Object.keys(LOADS) as LoadName[]) {
    const costs = await takeTurns(entrants, load, WARM_UP_ROUNDS + rounds);
    results.push(
      ...summarize(runtime, load, entrants, costs.slice(WARM_UP_ROUNDS)),
    );
  }
  return results;
}

/** Returns what a request has cost in each round, in the order of the entrants, in µs. */
async function takeTurns(
  entrants: readonly Entrant[],
  load: LoadName,
  rounds: number,
): Promise<number[][]> {
  const clients = entrants.map(({ server }) => clientOf(LOADS[load], server.port));
  const costs: number[][] = [];
  for (let round = 0; round < rounds; round++) {
    const cost = Array<number>(entrants.length);
    for (let turn = 0; turn < entrants.length; turn++) {
      // Each round begins with another server: the first one warms up what the next ones use.
      const i = (round + turn) % entrants.length;
      cost[i] = await costOfRequest(
        entrants[i]!.server,
        clients[i]!,
        LOADS[load].requests,
      );
    }
    costs.push(cost);
  }
  for (const client of clients) client.close();
  return costs;
}

async function costOfRequest(
  server: ServerProcess,
  client: Client,
  requests: number,
): Promise<number> {
  const before = await server.usage();
  await client.send(requests);
  const after = await server.usage();
  return (after.cpu - before.cpu) / requests;
}

function summarize(
  runtime: Runtime,
  load: LoadName,
  entrants: readonly Entrant[],
  costs: readonly (readonly number[])[],
): SteadyResult[] {
  return entrants.map(({ contestant }, i) => ({
    runtime,
    contestant: contestant.name,
    load,
    cpu: summaryOf(costs.map((cost) => cost[i]!)),
    // The bare server is the first of the contestants.
    ratio: summaryOf(costs.map((cost) => cost[i]! / cost[0]!)),
  }));
}
