/** What examples/metrics says about itself: what is scraped in a drain, and of the next process. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { deadline, delay } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { runtime } from "../support/fixture.ts";
import { type Program, run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;

const folder = mkdtempSync(join(tmpdir(), "graceful-metrics-"));
after(() => rmSync(folder, { recursive: true }));

/** Of Deno, those of the README. */
const permissions = [
  ...["--allow-net", "--allow-env", "--allow-read", "--allow-write"],
  `--import-map=${fileURLToPath(new URL("../std/import_map.json", import.meta.url))}`,
];

/** The service of the example, with the metrics file of this name. */
class Service {
  readonly program: Program;

  constructor(file: string) {
    const env = { PORT: "0", METRICS_PORT: "0", METRICS_FILE: join(folder, file) };
    this.program = run("../../examples/metrics/main.ts", [], permissions, env);
  }

  async addr(pattern: RegExp): Promise<Addr> {
    const port = Number(await deadline(this.program.says(pattern), SOON));
    return { transport: "tcp", hostname: "127.0.0.1", port };
  }

  /** Sends a request that is never answered, and waits until it has arrived: one behind it would. */
  async slow(): Promise<void> {
    const addr = await this.addr(/^listening: http:\/\/127.0.0.1:(\d+)/m);
    (await connect(addr)).write(request("/slow"));
    const other = await connect(addr);
    other.write(request("/"));
    assertEquals((await deadline(other.response(), SOON)).body, "hello\n");
    other.vanish();
  }

  async scrape(): Promise<Record<string, number>> {
    const client = await connect(await this.addr(/ metrics: http:\/\/127.0.0.1:(\d+)/));
    client.write(request("/metrics"));
    const { body, headers } = await deadline(client.response(), SOON);
    client.vanish();
    assertMatch(headers["content-type"]!, /^text\/plain; version=0\.0\.4/);
    return gaugesOf(body);
  }

  async scrapeUntil(gauges: Record<string, number>): Promise<void> {
    while (!isDeepStrictEqual(await this.scrape(), gauges)) await delay(10);
  }

  end(): Promise<number | string> {
    return deadline(this.program.exit, SOON);
  }
}

/** The values of a text of Prometheus in which each line is as its format has it. */
function gaugesOf(text: string): Record<string, number> {
  const gauges: Record<string, number> = {};
  assert(text.endsWith("\n"));
  for (const metric of text.split(/^(?=# HELP )/m)) {
    const [, name, typed, sample, value] =
      /^# HELP (\w+) .+\n# TYPE (\w+) gauge\n(\w+)\{service="web"\} (\S+)\n$/.exec(metric)!;
    assertEquals([typed, sample], [name, name]);
    assertMatch(value!, /^\d+(\.\d+)?$/);
    gauges[name!] = Number(value);
  }
  return gauges;
}

const fileOf = (name: string) => gaugesOf(readFileSync(join(folder, name), "utf8"));

test(`[${runtime}] examples/metrics is scraped in a drain, and the next process tells of the end`, async () => {
  const service = new Service("forced.prom");
  await service.slow();
  assertEquals(await service.scrape(), { graceful_ending: 0, graceful_connections_left: 0 });
  service.program.signal("SIGTERM");
  // The other client has left, which the service may notice only now.
  await deadline(service.scrapeUntil({ graceful_ending: 1, graceful_connections_left: 1 }), SOON);
  assertEquals(await service.end(), 1);

  const next = new Service("forced.prom");
  const told = await next.scrape();
  const end = "graceful_last_end";
  assertEquals([told[`${end}_forced_connections`], told[`${end}_exit_code`]], [1, 1]);
  const [drain, whole] = [told[`${end}_drain_duration_seconds`]!, told[`${end}_duration_seconds`]!];
  assert(drain >= 2.9 && drain <= whole && whole < 10, `${drain} s of ${whole} s`);
  next.program.signal("SIGTERM");
  assertEquals(await next.end(), 0);
  const clean = fileOf("forced.prom");
  assertEquals([clean[`${end}_forced_connections`], clean[`${end}_exit_code`]], [0, 0]);
  assert(clean[`${end}_timestamp_seconds`]! > told[`${end}_timestamp_seconds`]!);
  assertEquals(readdirSync(folder), ["forced.prom"]);
  rmSync(join(folder, "forced.prom"));
});

test(`[${runtime}] examples/metrics writes its file at a second signal as well`, async () => {
  const service = new Service("interrupted.prom");
  await service.slow();
  service.program.signal("SIGINT");
  await deadline(service.program.says(/draining/), SOON);
  const timer = setInterval(() => service.program.signal("SIGTERM"), 100);
  assertEquals(await service.end().finally(() => clearInterval(timer)), 128 + 15);
  const { graceful_last_end_forced_connections: forced, graceful_last_end_exit_code: code } =
    fileOf("interrupted.prom");
  assertEquals([forced, code], [1, 128 + 15]);
});
