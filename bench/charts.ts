/** Draws the results as charts, with Vega-Lite. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LOADS } from "./load.ts";
import type { Results } from "./results.ts";

/** A chart in the language of Vega-Lite. */
type Chart = Readonly<Record<string, unknown>>;

/** Draws the charts of what was measured into a folder, and returns the files. */
export async function drawCharts(results: Results, folder: string): Promise<string[]> {
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

/** The ratio of each server to the bare one, a panel for each runtime and load. */
function steadyChart({ steady }: Results): Chart {
  const values = steady.map(({ runtime, contestant, load, ratio }) => ({
    panel: runtime,
    contestant,
    load: LOADS[load].title,
    ratio: ratio.median,
    low: ratio.quartiles[0],
    high: ratio.quartiles[1],
    own: isOwn(contestant),
  }));
  const y = { field: "contestant", type: "nominal", sort: null, title: null };
  return {
    title: "Server CPU time a request, as a ratio to the bare server (median and quartiles)",
    data: { values },
    facet: rowsByRuntime({
      column: { field: "load", sort: Object.values(LOADS).map(({ title }) => title), title: null },
    }),
    resolve: { scale: { y: "independent" } },
    spec: {
      width: 170,
      encoding: { y },
      height: { step: 15 },
      layer: [
        { mark: { type: "rule", color: "#999" }, encoding: { x: { datum: 1 } } },
        {
          mark: "rule",
          encoding: {
            x: { field: "low", type: "quantitative", title: null, scale: { zero: false } },
            x2: { field: "high" },
            color: OWN_COLOR,
          },
        },
        {
          mark: { type: "point", filled: true, size: 50 },
          encoding: { x: { field: "ratio", type: "quantitative" }, color: OWN_COLOR },
        },
      ],
    },
  };
}

/** The median and the 99th percentile of each server's drains. */
function drainChart({ drain }: Results): Chart {
  const values = drain.map(({ runtime, contestant, median, p99 }) => ({
    panel: runtime,
    contestant,
    // A logarithmic scale has no zero. A server that is late each time is at the right end.
    median: Math.max(FAST, median ?? LATE),
    p99: Math.max(FAST, p99 ?? LATE),
    own: isOwn(contestant),
  }));
  const y = { field: "contestant", type: "nominal", sort: null, title: null };
  const scale = { type: "log", domain: [FAST, LATE] };
  return {
    title: "From the last response to the end of the shutdown, in ms (median to p99)",
    data: { values },
    facet: rowsByRuntime({}),
    resolve: { scale: { y: "independent" } },
    spec: {
      width: 560,
      encoding: { y },
      height: { step: 15 },
      layer: [
        {
          mark: "rule",
          encoding: {
            x: { field: "median", type: "quantitative", scale, title: AXIS_OF_DRAINS },
            x2: { field: "p99" },
            color: OWN_COLOR,
          },
        },
        {
          mark: { type: "point", filled: true, size: 50 },
          encoding: { x: { field: "median", type: "quantitative", scale }, color: OWN_COLOR },
        },
      ],
    },
  };
}

/** The ends of the scale of drains, in ms. */
const FAST = 0.01;
const LATE = 1_000;
const AXIS_OF_DRAINS = "ms; at the right end: more than a second";

/** The time of a shutdown by the number of idle connections. */
function scaleChart({ scale }: Results): Chart {
  const values = scale.filter(({ time }) => time !== null)
    .map(({ runtime, contestant, idle, time }) => ({ panel: runtime, contestant, idle, time }));
  return {
    title: "Shutdown by idle connections, in ms",
    data: { values },
    facet: { column: { field: "panel", title: null, sort: RUNTIME_ORDER } },
    spec: {
      width: 240,
      height: 260,
      mark: { type: "line", point: true },
      encoding: {
        x: { field: "idle", type: "quantitative", title: "connections", scale: LOGARITHMIC },
        y: { field: "time", type: "quantitative", title: "ms", scale: LOGARITHMIC },
        color: {
          field: "contestant",
          type: "nominal",
          title: null,
          scale: { scheme: "tableau20" },
        },
      },
    },
  };
}

const LOGARITHMIC = { type: "log" };
const RUNTIME_ORDER = ["node", "deno", "bun"];

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

function rowsByRuntime(more: object): object {
  return { row: { field: "panel", title: null, sort: RUNTIME_ORDER }, ...more };
}

async function toSvg(chart: Chart, { versions, date }: Results): Promise<string> {
  const { parse, View } = await import("vega");
  const { compile } = await import("vega-lite");
  const subtitle = `${versions.join(", ")}; ${date.slice(0, 10)}`;
  const { spec } = compile({
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    padding: 12,
    ...chart,
    title: { text: chart.title, subtitle, anchor: "start" },
  });
  const view = new View(parse(spec), { renderer: "none" });
  const svg = await view.toSVG();
  view.finalize();
  return svg + "\n";
}
