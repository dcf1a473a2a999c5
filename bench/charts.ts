/** Draws the results as charts, with Vega-Lite. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LOADS } from "./load.ts";
import type { Results } from "./results.ts";

/** A chart in the language of Vega-Lite. */
type Chart = Readonly<Record<string, unknown>>;

/** Draws the charts of what was measured into a folder, and returns the files. */
export async function drawCharts(
  results: Results,
  folder: string,
): Promise<string[]> {
  const charts = {
    "costs-steady.svg": results.steady.length > 0 ? steadyChart(results) : undefined,
    "costs-drain.svg": results.drain.length > 0 ? drainChart(results) : undefined,
    "costs-scale.svg": results.scale.length > 0 ? scaleChart(results) : undefined,
  };
  mkdirSync(folder, { recursive: true });
  const files: string[] = [];
  for (const [name, chart] of Object.entries(charts)) {
    if (chart === undefined) continue;
    const file = join(folder, name);
    writeFileSync(file, await toSvg(chart, results));
    files.push(file);
  }
  return files;
}

/** The ratio of each server to the bare one, a row of panels for each runtime, a panel for each load. */
function steadyChart({ steady }: Results): Chart {
  const values = steady.map(({ runtime, contestant, load, ratio }) => ({
    runtime,
    contestant,
    load: LOADS[load].title,
    ratio: ratio.median,
    low: ratio.quartiles[0],
    high: ratio.quartiles[1],
    own: isOwn(contestant),
  }));
  const loads = Object.values(LOADS).map(({ title }) => title);
  return {
    title: "Server CPU time per request, as a ratio to the bare server (median and quartiles)",
    vconcat: runtimesOf(values).map((runtime) => ({
      data: { values: values.filter((value) => value.runtime === runtime) },
      facet: { column: { field: "load", sort: loads, title: runtime } },
      spec: {
        width: 165,
        height: { step: 15 },
        layer: [
          {
            mark: { type: "rule", color: "#bbb" },
            encoding: { x: { datum: 1 } },
          },
          {
            mark: "rule",
            encoding: {
              y: NAMES,
              x: ratioOf("low"),
              x2: { field: "high" },
              color: OWN_COLOR,
            },
          },
          {
            mark: { type: "point", filled: true, size: 50 },
            encoding: { y: NAMES, x: ratioOf("ratio"), color: OWN_COLOR },
          },
        ],
      },
    })),
  };
}

/** The names of the servers, in the order of the results. */
const NAMES = { field: "contestant", type: "nominal", sort: null, title: null };

/** The axis of ratios, which need not begin at zero. */
function ratioOf(field: string): object {
  return { field, type: "quantitative", title: null, scale: { zero: false } };
}

/** The median and the 99th percentile of each server's drains, a panel for each runtime. */
function drainChart({ drain }: Results): Chart {
  const values = drain.map(({ runtime, contestant, median, p99 }) => ({
    runtime,
    contestant,
    // A logarithmic scale has no zero. A server that is late each time is at the right end.
    median: Math.max(FAST, median ?? LATE),
    p99: Math.max(FAST, p99 ?? LATE),
    own: isOwn(contestant),
  }));
  const x = {
    field: "median",
    type: "quantitative",
    scale: { type: "log", domain: [FAST, LATE] },
    title: "ms; at the left end: less than 0.01; at the right end: more than a second",
  };
  return {
    title: "From the last response to the end of the shutdown (median to p99)",
    vconcat: runtimesOf(values).map((runtime) => ({
      title: runtime,
      data: { values: values.filter((value) => value.runtime === runtime) },
      width: 560,
      height: { step: 15 },
      encoding: { y: NAMES, x, color: OWN_COLOR },
      layer: [
        { mark: "rule", encoding: { x2: { field: "p99" } } },
        { mark: { type: "point", filled: true, size: 50 } },
      ],
    })),
  };
}

/** The ends of the scale of drains, in ms. */
const FAST = 0.01;
const LATE = 1_000;

/** The time of a shutdown by the number of idle connections. */
function scaleChart({ scale }: Results): Chart {
  const values = scale.filter(({ time }) => time !== null)
    .map(({ runtime, contestant, idle, time }) => ({
      runtime,
      contestant,
      idle,
      time,
      own: isOwn(contestant),
    }));
  return {
    title: "Shutdown by idle connections, in ms",
    data: { values },
    facet: {
      column: { field: "runtime", title: null, sort: runtimesOf(values) },
    },
    spec: {
      width: 240,
      height: 260,
      mark: { type: "line", point: true },
      encoding: {
        x: {
          field: "idle",
          type: "quantitative",
          title: "connections",
          scale: LOGARITHMIC,
        },
        y: {
          field: "time",
          type: "quantitative",
          title: "ms",
          scale: LOGARITHMIC,
        },
        strokeWidth: { condition: { test: "datum.own", value: 4 }, value: 1.5 },
        color: {
          field: "contestant",
          type: "nominal",
          sort: null,
          title: null,
          scale: { scheme: "tableau20" },
          legend: { labelLimit: 300 },
        },
      },
    },
  };
}

const LOGARITHMIC = { type: "log", nice: false };

/** The runtimes in the order of the results. */
function runtimesOf<Name>(
  values: readonly { readonly runtime: Name }[],
): Name[] {
  return [...new Set(values.map(({ runtime }) => runtime))];
}

/** The package is blue, and others are gray. */
const OWN_COLOR = {
  field: "own",
  type: "nominal",
  legend: null,
  scale: { domain: [true, false], range: ["#1f6fd6", "#777"] },
};

function isOwn(contestant: string): boolean {
  return /^(serve|adopt)\b/.test(contestant);
}

async function toSvg(
  chart: Chart,
  { versions, date }: Results,
): Promise<string> {
  const { Error: errors, logger, parse, View } = await import("vega");
  const { compile } = await import("vega-lite");
  const subtitle = `${versions.join(", ")}; ${date.slice(0, 10)}`;
  const { spec } = compile({
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 12,
    ...chart,
    title: { text: chart.title, subtitle, anchor: "start" },
    // No warnings: each panel has a scale of its own for the names, of which Vega-Lite is not sure.
  }, { logger: logger(errors) });
  const view = new View(parse(spec), { renderer: "none" });
  const svg = await view.toSVG();
  view.finalize();
  return svg + "\n";
}
