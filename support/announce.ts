/**
 * What the services here have in common: their answer, and the lines by which they tell whoever
 * started them where they are, `ready <pid>` and `ended <pid> <exit code>`.
 */
import process from "node:process";

/** The variable that marks all processes of one run. */
export const MARK = "RESTART_BENCH";

/** The variable with the time at which a service ends in any case, in ms since 1970. */
export const UNTIL = "RESTART_BENCH_UNTIL";

/** Answers with the process and the path. */
export function answer(request: Request): Response {
  const body = `${process.pid} ${new URL(request.url).pathname}`;
  // Node's own server would send it in chunks.
  return new Response(body, { headers: { "content-length": `${body.length}` } });
}

/** Tells that this process serves, and later that it ends. */
export function announce(): void {
  console.log(`ready ${process.pid}`);
  process.on("exit", (code) => console.log(`ended ${process.pid} ${code}`));
  const until = process.env[UNTIL];
  // For the case that whoever started it was killed.
  if (until !== undefined) setTimeout(() => process.exit(3), Number(until) - Date.now()).unref();
}
