import { test } from "node:test";

/** How many tests run at the same time: they wait for processes and timers, and work little. */
const AT_ONCE = 3;

/** The functions that begin the tests which have not begun. */
const waiting: (() => Promise<void>)[] = [];
let running = 0;

/**
 * Declares a test that runs beside others of its file. They begin in the order in which they are declared, when the first
 * of them has its turn, and each is reported in its own turn.
 */
export function testSideBySide(name: string, run: () => Promise<void>): void {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // A test may fail before its turn.
  promise.catch(() => {});
  waiting.push(() => run().then(resolve, reject));
  test(name, async () => {
    beginMore();
    await promise;
  });
}

function beginMore(): void {
  while (running < AT_ONCE) {
    const next = waiting.shift();
    if (next === undefined) return;
    running++;
    next().finally(() => {
      running--;
      beginMore();
    });
  }
}
