/** A call of `graceful` that is over leaves nothing behind. */
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assert } from "@std/assert";
import { graceful } from "../../mod.ts";
import { runtime } from "../support/fixture.ts";

const CALLS = 200;

/**
 * What collects garbage. The exceptions: Deno takes the flag for that at its start alone, and the test
 * runner of Node keeps what promises hold.
 */
function collector(): (() => void) | undefined {
  if (runtime !== "bun") return undefined;
  // The cast: the types of node do not know Bun.
  const { Bun } = globalThis as unknown as { Bun: { gc(force: boolean): void } };
  return () => Bun.gc(true);
}

const collect = collector();

test(
  `[${runtime}] graceful() keeps nothing of calls that are over`,
  { skip: !collect },
  async () => {
    const logs: WeakRef<() => void>[] = [];
    for (let i = 0; i < CALLS; i++) {
      const log = Object.assign(() => {}, { i });
      logs.push(new WeakRef(log));
      await graceful([], { signal: AbortSignal.abort(), exit: false, log: () => log() });
    }
    const left = () => logs.filter((log) => log.deref() !== undefined).length;
    // Collecting what was used in a turn takes another one.
    for (let i = 0; i < 50 && left() > CALLS / 10; i++) {
      collect!();
      await sleep(1);
    }
    assert(left() <= CALLS / 10, `${left()} of ${CALLS}`);
  },
);
