/**
 * A rolling restart: HAProxy, under load, in front of three processes, one a runtime. Each in turn
 * is ended with a signal and started again, and the next only when HAProxy gives it requests.
 */
import { Processes } from "../processes.ts";
import { RUNTIMES } from "../runtimes.ts";
import { type Forgiveness, HAProxy } from "./haproxy.ts";
import { RollingLoad } from "./load.ts";
import { type RollingRestart, RollingService, type RollingServiceOptions } from "./service.ts";
import type { Answered, Failed } from "./tally.ts";

/** Options of {@linkcode roll}. */
export interface RollOptions extends RollingServiceOptions {
  /** HAProxy's path. */
  readonly haproxy: string;
  readonly forgiveness?: Forgiveness;
  /**
   * How often each process is restarted.
   *
   * @default {2}
   */
  readonly rounds?: number;
  /**
   * How many requests there are at least: the load goes on after the last restart until then.
   *
   * @default {20_000}
   */
  readonly requests?: number;
}

/** What became of the requests and of the processes. */
export interface Rolled {
  readonly answered: readonly Answered[];
  readonly failed: readonly Failed[];
  readonly restarts: readonly RollingRestart[];
  /** The exit code of each process, in the order in which they were started; none: it was killed. */
  readonly exitCodes: readonly (number | undefined)[];
  /** What HAProxy has said about its servers and about requests that failed. */
  readonly log: readonly string[];
  /** HAProxy's folder, which is removed. */
  readonly folder: string;
}

const ROUNDS = 2;

/** What bounds a round, however many requests fail and however long it takes: time is in ms. */
const ROUND = { requests: 100_000, time: 20_000 };

/** Restarts each of three processes in turn, under load. */
export async function roll(options: RollOptions): Promise<Rolled> {
  // They end by themselves if this process is killed.
  const processes = new Processes(((options.rounds ?? ROUNDS) + 2) * ROUND.time);
  // Not `await using`, which Node 22 does not know.
  try {
    const services: RollingService[] = [];
    for (const runtime of RUNTIMES) {
      services.push(await RollingService.start(runtime, processes, options));
    }
    const outcome = await rollUnderLoad(services, options);
    for (const service of services) await service.stop();
    await processes.outputEnd();
    const pids = services.flatMap(({ pids }) => pids);
    return { ...outcome, exitCodes: pids.map((pid) => processes.exitCodes.get(pid)) };
  } finally {
    await processes[Symbol.asyncDispose]();
  }
}

async function rollUnderLoad(
  services: readonly RollingService[],
  { haproxy: program, forgiveness, rounds = ROUNDS, requests = 20_000 }: RollOptions,
): Promise<Omit<Rolled, "exitCodes">> {
  const haproxy = await HAProxy.start(program, services, forgiveness);
  try {
    const load = new RollingLoad({
      port: haproxy.port,
      maxRequests: (rounds + 1) * ROUND.requests,
      maxTime: (rounds + 1) * ROUND.time,
    });
    const { tally: { answered, failed } } = load;
    const restarts: RollingRestart[] = [];
    try {
      for (let round = 0; round < rounds; round++) {
        for (const service of services) restarts.push(await service.restart(haproxy, load));
      }
      for (const service of services) await service.isAtWork(load);
      await load.hasSent(requests);
    } finally {
      await load.stop();
    }
    return { answered, failed, restarts, log: haproxy.log, folder: haproxy.folder };
  } finally {
    await haproxy[Symbol.asyncDispose]();
  }
}
