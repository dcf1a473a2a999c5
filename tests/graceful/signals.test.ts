/** Signals as people, runners and libraries send them. */
import { test } from "node:test";
import { spawn } from "node:child_process";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { graceful } from "../../mod.ts";
import type { Plan } from "../programs/ending.ts";
import { request } from "../../support/client.ts";
import { Ending, SOON } from "../support/ending.ts";
import { runtime } from "../support/fixture.ts";
import { commandOf, Program } from "../support/process.ts";

/** In ms: between two copies of a signal. Of the runners that were measured, `concurrently` takes longest. */
const COPY = 33;

/** A service with a request in flight, and an idle connection that can let it be answered. */
async function withRequest(plan: Partial<Plan> = {}) {
  const ending = await Ending.start({
    servers: ["auto"],
    graceful: { idleGrace: 10_000 },
    cleanups: ["quick"],
    ...plan,
  });
  const idle = await ending.request("/");
  await deadline(idle.response(), SOON);
  const active = await ending.inFlight("/gate");
  return {
    ending,
    /** Has the request answered, and checks that the process ends in order. */
    async endsInOrder() {
      idle.write(request("/open"));
      assertEquals((await deadline(active.response(), SOON)).body, "/gate");
      assertEquals(await ending.exit(), 0);
      assertStringIncludes(ending.program.output, "cleanup: quick;");
    },
  };
}

for (
  const copies of [
    ["SIGINT", "SIGINT"],
    ["SIGTERM", "SIGTERM"],
    ["SIGINT", "SIGTERM"],
    ["SIGTERM", "SIGTERM", "SIGINT", "SIGINT"],
  ] as const
) {
  test(`[${runtime}] graceful() takes ${copies.join(", ")} within a short time as one end`, async () => {
    const { ending, endsInOrder } = await withRequest();
    for (const name of copies) {
      ending.program.signal(name);
      await sleep(COPY / copies.length);
    }
    await ending.event("draining");
    await endsInOrder();
  });
}

test(`[${runtime}] graceful() knows a copy of a signal however long the event loop was busy`, async () => {
  const { ending, endsInOrder } = await withRequest({ busy: 900 });
  ending.program.signal("SIGINT");
  await ending.says(/^busy;/m);
  ending.program.signal("SIGTERM");
  await ending.event("draining");
  await endsInOrder();
});

test(`[${runtime}] graceful() is not forced by a signal that the process sends itself`, async () => {
  const { ending, endsInOrder } = await withRequest({ raising: true });
  ending.program.signal("SIGTERM");
  await ending.event("waiting");
  await endsInOrder();
});

test(`[${runtime}] graceful() leaves process.kill as it was when a call is over`, async () => {
  const { kill } = process;
  await graceful([], { signal: AbortSignal.abort(), exit: false, log: false });
  assertEquals(process.kill, kill);
});

test(`[${runtime}] graceful() keeps its exit code when a copy of the signal comes at the end`, async () => {
  const ending = await Ending.start({ servers: ["auto"], cleanups: ["leaking"] });
  ending.program.signal("SIGTERM");
  await ending.says(/^down: SIGTERM 0/m);
  ending.program.signal("SIGTERM");
  await ending.event("kept-alive");
  assertEquals(await ending.exit(), 0);
});

/** Starts the service in another way than the tests do. `onMessage` opens a channel, and hears what comes over it. */
async function startBy(command: readonly string[], onMessage?: (message: unknown) => void) {
  const [program, ...args] = command;
  const channel = onMessage === undefined ? "ignore" : "ipc";
  const child = spawn(program!, args, { stdio: ["ignore", "pipe", "pipe", channel] });
  if (onMessage !== undefined) child.on("message", onMessage);
  const ending = new Ending(new Program(child));
  await ending.says(/^up;/m);
  return ending;
}

function serviceOf(plan: Plan, ...flags: string[]): string[] {
  const [program, ...args] = commandOf(
    fileURLToPath(new URL("../programs/ending.ts", import.meta.url)),
  );
  const isRun = args[0] === "run";
  return [
    program!,
    ...(isRun ? ["run"] : []),
    ...flags,
    ...args.slice(isRun ? 1 : 0),
    JSON.stringify(plan),
  ];
}

if (runtime === "bun") {
  for (const flag of ["--watch", "--hot"]) {
    test(`[bun, ${flag}] graceful() ends the process after the drain, and when something keeps it alive`, async () => {
      const ending = await startBy(serviceOf({ servers: ["auto"], cleanups: ["quick"] }, flag));
      ending.program.signal("SIGTERM");
      assertEquals(await ending.exit(), 0);
      assertStringIncludes(ending.program.output, "cleanup: quick;");
      const leaking = await startBy(serviceOf({ servers: ["auto"], cleanups: ["leaking"] }, flag));
      leaking.program.signal("SIGTERM");
      await leaking.event("kept-alive");
      assertEquals(await leaking.exit(), 0);
    });
  }
}

test(`[${runtime}] graceful() tells the parent over its channel that it is ready, and the channel does not keep it alive`, async () => {
  const heard = Promise.withResolvers<unknown>();
  const ending = await startBy(
    serviceOf({
      servers: ["auto"],
      graceful: { shutdownOnMessage: "shutdown" },
      listensToParent: true,
    }),
    heard.resolve,
  );
  assertEquals(await deadline(heard.promise, SOON), "ready");
  ending.program.child.send("something else");
  ending.program.child.send("shutdown");
  assertEquals((await ending.event("ending")).cause, "message");
  assertEquals(await ending.exit(), 0);
  const types = ending.events.map(({ type }) => type);
  assert(!types.includes("kept-alive"), ending.program.output);
});

/** What a worker thread with these options says of its call of `graceful`. */
async function inWorker(options: string): Promise<string> {
  const mod = new URL("../../mod.ts", import.meta.url).href;
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads");
     import(${JSON.stringify(mod)})
       .then(({ graceful }) => graceful([], { exit: false, log: false, ${options} }))
       .then(({ cause }) => parentPort.postMessage(cause), (error) => parentPort.postMessage(String(error)));`,
    { eval: true },
  );
  const said = new Promise<string>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  const text = await deadline(said, SOON);
  await worker.terminate();
  return text;
}

test(`[${runtime}] graceful() needs 'signal' in a worker thread, which gets no signals`, async () => {
  assertEquals(
    await inWorker(""),
    "TypeError: Cannot call graceful() as 'signal' must be given in a worker thread, because no signal of " +
      "the process reaches a worker thread: current value is undefined",
  );
  assertEquals(await inWorker("signal: AbortSignal.abort()"), "aborted");
});
