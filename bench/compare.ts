/** Compares the processor time of two servers, in rounds that take turns. */
import type { HandlerName } from "./handlers.ts";
import { type Client, clientOf, type LoadName } from "./load.ts";
import type { Kind } from "./server.ts";
import { ServerProcess, type ServerSpec } from "./server_process.ts";
import { median, quantile } from "./stats.ts";

/** Two servers and what is done to both. */
export interface Comparison extends ServerSpec {
  readonly load: LoadName;
  /** The second of the pair: another bare one shows what the noise is. */
  readonly against: Kind;
  /** How many rounds are counted. */
  readonly rounds: number;
}

/** What came out. */
export interface Result {
  /** Processor time of a request in µs, the median of the rounds. */
  readonly bare: number;
  readonly other: number;
  /** The median of each round's other / bare, with its quartiles. */
  readonly ratio: number;
  readonly quartiles: readonly [number, number];
}

/** Of one round: short, for what else the machine does has then to strike both servers alike. */
const REQUESTS: Readonly<Record<LoadName, number>> = { "kept-alive": 2_000, connection: 400 };

/** Until the compilers of the runtimes have settled. */
const WARM_UP_ROUNDS = 10;

/** Runs the rounds of one comparison. */
export async function compare(comparison: Comparison): Promise<Result> {
  await using bare = await ServerProcess.start("bare", comparison);
  await using other = await ServerProcess.start(comparison.against, comparison);
  const costs = await takeTurns(
    await contestant(bare, comparison),
    await contestant(other, comparison),
    WARM_UP_ROUNDS + comparison.rounds,
  );
  return summary(costs.slice(WARM_UP_ROUNDS));
}

/** A server, its client and the size of their rounds. */
interface Contestant {
  readonly server: ServerProcess;
  readonly client: Client;
  readonly requests: number;
}

/** What a request has cost both in one round, in µs. */
interface Costs {
  readonly bare: number;
  readonly other: number;
}

async function contestant(
  server: ServerProcess,
  { load, handler }: Comparison,
): Promise<Contestant> {
  const client = await clientOf(load, server.port, bodyFor(handler));
  return { server, client, requests: REQUESTS[load] };
}

/** Deno 2.9 closes a connection after a request of more than 512 bytes, head and all. */
const UPLOAD = "x".repeat(256);

function bodyFor(handler: HandlerName): string {
  return handler === "upload" ? UPLOAD : "";
}

async function takeTurns(bare: Contestant, other: Contestant, rounds: number): Promise<Costs[]> {
  const costs: Costs[] = [];
  for (let round = 0; round < rounds; round++) {
    // Whoever goes second may profit from what the first one has warmed.
    costs.push(
      round % 2 === 0
        ? { bare: await costOfRequest(bare), other: await costOfRequest(other) }
        : { other: await costOfRequest(other), bare: await costOfRequest(bare) },
    );
  }
  bare.client.close();
  other.client.close();
  return costs;
}

async function costOfRequest({ server, client, requests }: Contestant): Promise<number> {
  const before = await server.usage();
  await client.send(requests);
  const after = await server.usage();
  return (after.cpu - before.cpu) / requests;
}

function summary(costs: readonly Costs[]): Result {
  const ratios = costs.map(({ bare, other }) => other / bare);
  return {
    bare: median(costs.map(({ bare }) => bare)),
    other: median(costs.map(({ other }) => other)),
    ratio: median(ratios),
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
  };
}
