/** Compares the processor time of two servers, in rounds that take turns. */
import type { HandlerName } from "./handlers.ts";
import { type LoadName, requestBytes, send } from "./load.ts";
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

/** A round of either load takes a server 0.1 to 0.2 s. */
const REQUESTS: Readonly<Record<LoadName, number>> = { "kept-alive": 4_000, connection: 1_000 };
const CONCURRENCY: Readonly<Record<LoadName, number>> = { "kept-alive": 32, connection: 16 };

/** Until the compilers of the runtimes have settled. */
const WARM_UP_ROUNDS = 4;

/** Runs the rounds of one comparison. */
export async function compare(comparison: Comparison): Promise<Result> {
  const { load, handler, against, rounds } = comparison;
  await using bare = await ServerProcess.start("bare", comparison);
  await using other = await ServerProcess.start(against, comparison);
  const measure = (server: ServerProcess) => costOfRequest(server, load, handler);

  const costs: { bare: number; other: number }[] = [];
  for (let round = 0; round < WARM_UP_ROUNDS + rounds; round++) {
    // Whoever goes second may profit from what the first one has warmed.
    costs.push(
      round % 2 === 0
        ? { bare: await measure(bare), other: await measure(other) }
        : { other: await measure(other), bare: await measure(bare) },
    );
  }
  return summary(costs.slice(WARM_UP_ROUNDS));
}

/** Processor time of a request in µs, over one round. */
async function costOfRequest(
  server: ServerProcess,
  load: LoadName,
  handler: HandlerName,
): Promise<number> {
  const requests = REQUESTS[load];
  const before = await server.usage();
  await send({
    name: load,
    port: server.port,
    request: requestBytes(load, bodyFor(handler)),
    requests,
    concurrency: CONCURRENCY[load],
  });
  const after = await server.usage();
  return (after.cpu - before.cpu) / requests;
}

function bodyFor(handler: HandlerName): string {
  return handler === "upload" ? "x".repeat(1_024) : "";
}

function summary(costs: readonly { bare: number; other: number }[]): Result {
  const ratios = costs.map(({ bare, other }) => other / bare);
  return {
    bare: median(costs.map(({ bare }) => bare)),
    other: median(costs.map(({ other }) => other)),
    ratio: median(ratios),
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
  };
}
