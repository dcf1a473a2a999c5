/** Restarts a service on each runtime by SIGHUP, while clients keep asking, and counts what fails. */
import { styleText } from "node:util";
import { soak } from "../../bench/restart/soak.ts";
import { print } from "./board.ts";
import { RUNTIMES } from "../../support/runtimes.ts";

const RESTARTS = 3;

/** Shows what became of the requests; false if one failed. */
export async function showRestarts(): Promise<boolean> {
  print("", `Now ${RESTARTS} restarts of a service on each, by SIGHUP, with 8 clients asking:`, "");
  const load = { restarts: RESTARTS, fresh: 4, kept: 4 };
  const results = await Promise.all(RUNTIMES.map((runtime) => soak({ ...load, runtime })));
  for (const { runtime, requests, failed, messages } of results) {
    print(`${runtime.padEnd(6)}${requests} requests during the restarts, ${failed} failed`);
    for (const message of messages) print(styleText("red", message));
  }
  return results.every(({ failed }) => failed === 0);
}
