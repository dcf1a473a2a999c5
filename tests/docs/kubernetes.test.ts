/** What examples/kubernetes says about itself: its files fit each other, and its program runs. */
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { deadline, delay } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, type RawResponse, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { type Program, run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;

const folder = new URL("../../examples/kubernetes/", import.meta.url);
const source = readFileSync(new URL("main.ts", folder), "utf8");
const deployment = readFileSync(new URL("deployment.yaml", folder), "utf8");
const service = readFileSync(new URL("service.yaml", folder), "utf8");
const dockerfile = readFileSync(new URL(`${runtime}.Dockerfile`, folder), "utf8");

/** The first group of the pattern, which has to be there once. */
function only(pattern: RegExp, text: string): string {
  const found = [...text.matchAll(new RegExp(pattern, "gm"))];
  assertEquals(found.length, 1, `${pattern} in ${text}`);
  return found[0]![1]!;
}

/** A number of main.ts. */
function option(name: string): number {
  return Number(only(new RegExp(`\\b${name}: ([\\d_]+)`), source).replaceAll("_", ""));
}

/** A probe of deployment.yaml. */
function probe(kind: string): { path: string; port: string; period: number; failures: number } {
  const line = (name: string) => `\\s+${name}: (\\S+)`;
  const [, path, port, period, failures] = new RegExp(
    `${kind}Probe:\\s+httpGet:${line("path")}${line("port")}${line("periodSeconds")}` +
      line("failureThreshold"),
  ).exec(deployment)!;
  return { path: path!, port: port!, period: Number(period), failures: Number(failures) };
}

const [startup, liveness, readiness] = [probe("startup"), probe("liveness"), probe("readiness")];
const probes = [startup, liveness, readiness];

test(`[${runtime}] examples/kubernetes fits the phases into the grace period`, () => {
  const grace = Number(only(/terminationGracePeriodSeconds: (\d+)/, deployment));
  const phases = ["drainDelay", "timeout", "cleanupTimeout"].map(option);
  // What graceful promises: these, and 1.5 s.
  const needed = (phases.reduce((sum, ms) => sum + ms) + 1_500) / 1_000;
  assert(grace - needed >= 2, `${needed} s of ${grace} s`);
  assertStringIncludes(deployment, `are ${needed} s, and ${grace - needed} s are to spare`);
  const serving = (readiness.failures - 1) * readiness.period;
  assert(serving * 1_000 >= option("drainDelay"), `no longer serving after ${serving} s`);
});

test(`[${runtime}] examples/kubernetes has the same port, names and paths everywhere`, () => {
  const port = option("port");
  assertEquals(Number(only(/containerPort: (\d+)/, deployment)), port);
  assertEquals(Number(only(/^EXPOSE (\d+)$/, dockerfile)), port);
  const name = only(/- name: (\S+)\s+containerPort/, deployment);
  assertEquals(probes.map((probe) => probe.port), [name, name, name]);
  assertEquals(only(/targetPort: (\S+)/, service), name);
  assertEquals([startup.path, liveness.path, readiness.path], ["/livez", "/livez", "/readyz"]);
  const labels = [...`${deployment}${service}`.matchAll(/ app: (\S+)/g)];
  assertEquals(labels.map(([, label]) => label), ["web", "web", "web", "web"]);
});

test(`[${runtime}] examples/kubernetes starts the program as process 1, of no root`, () => {
  // The cast: what the form with brackets is.
  const command = JSON.parse(only(/^ENTRYPOINT (.*)$/, dockerfile)) as string[];
  assertEquals([command[0], command.at(-1)], [runtime, "main.ts"]);
  assertMatch(only(/^USER (.*)$/, dockerfile), /^[1-9]\d+$/);
  assert(!/^CMD/m.test(dockerfile));
});

/** Of Deno, those of the image. */
const permissions = [
  ...dockerfile.match(/--allow-[\w-]+/g) ?? [],
  `--import-map=${fileURLToPath(new URL("../std/import_map.json", import.meta.url))}`,
];

async function get(path: string): Promise<RawResponse> {
  const addr: Addr = { transport: "tcp", hostname: "127.0.0.1", port: option("port") };
  const client = await connect(addr);
  client.write(request(path));
  const response = await client.response();
  client.vanish();
  return response;
}

/** Asks until the response is such a one, and returns it. */
async function until(
  path: string,
  program: Program,
  isIt: (response: RawResponse) => boolean,
): Promise<RawResponse> {
  let ended = false;
  program.exit.then(() => ended = true);
  while (!ended) {
    const response = await get(path).catch(() => undefined);
    if (response !== undefined && isIt(response)) return response;
    await delay(10);
  }
  throw new Error(`It ended:\n${program.output}`);
}

test(`[${runtime}] examples/kubernetes is ready, then a lame duck, and exits 0`, async () => {
  const program = run("../../examples/kubernetes/main.ts", [], permissions);
  const isGood = ({ status }: RawResponse) => status === 200;
  await deadline(until(readiness.path, program, isGood), SOON);
  for (const { path } of probes) assertEquals((await get(path)).status, 200, path);
  const kept = await get("/");
  assertEquals([kept.status, kept.body], [200, "hello\n"]);
  assert(kept.headers["connection"]?.toLowerCase() !== "close", "connections are kept alive");

  const start = performance.now();
  program.signal("SIGTERM");
  await deadline(until(readiness.path, program, ({ status }) => status === 503), SOON);
  const last = await get("/");
  assertEquals([last.status, last.body], [200, "hello\n"]);
  assertEquals(last.headers["connection"]?.toLowerCase(), "close");
  assertEquals((await get(liveness.path)).status, 200, "nobody kills it for that");

  assertEquals(await deadline(program.exit, SOON), 0, program.output);
  const duration = performance.now() - start;
  assert(duration >= option("drainDelay") - 5, `it was gone after ${duration} ms`);
  assertStringIncludes(program.output, "the database connections are closed\n");
});
