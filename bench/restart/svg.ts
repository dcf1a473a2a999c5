/** The chart of restarts, as the text of an SVG. */
import type { Recording } from "./record.ts";
import { BIN, type Bin } from "./tally.ts";

/** One panel. */
export interface Panel {
  readonly title: string;
  readonly recording: Recording;
}

const WIDTH = 900;
const LEFT = 64;
const RIGHT = 20;
const PLOT = WIDTH - LEFT - RIGHT;
const TOP = 16;
/** The heights of a panel: its title, its answers, its failures, and what is left blank. */
const TITLE = 26;
const ANSWERS = 116;
const GAP = 18;
const FAILURES = 40;
const PANEL = TITLE + ANSWERS + GAP + FAILURES + 22;
const FOOT = 61;

/** The colors of the processes, one after the other and then again. */
const COLORS = ["#4c78a8", "#9ecae9", "#8c9a5b", "#c9c38a"];

const STYLE = `
text { font: 12px system-ui, sans-serif; fill: #555 }
.title { font-size: 14px; font-weight: 600; fill: #222 }
.failed { fill: #c62828 }
.none { fill: #2e7d32 }
.axis { stroke: #999; stroke-width: 1 }
.grid { stroke: #ddd; stroke-width: 1 }
.restart { stroke: #777; stroke-width: 1; stroke-dasharray: 2 3 }`;

/** The scales that all panels share, so that they can be compared. */
interface Scales {
  /** The place of a time in ms. */
  x(time: number): number;
  readonly seconds: number;
  /** The answers a second at the top of a panel. */
  readonly rate: number;
  /** The failures in a bin at the top of a panel. */
  readonly failures: number;
}

/** Draws the panels, one below the other, and the lines of text below them. */
export function draw(
  panels: readonly Panel[],
  foot: readonly string[],
): string {
  const scales = scalesOf(panels.map(({ recording }) => recording));
  const height = TOP + panels.length * PANEL + FOOT;
  const end = TOP + panels.length * PANEL;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" ` +
    `viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>${escape(panels.map(summaryOf).join("; "))}</title>`,
    `<style>${STYLE}\n</style>`,
    `<rect width="${WIDTH}" height="${height}" rx="6" fill="#fff"/>`,
    ...panels.flatMap((panel, i) => drawPanel(panel, TOP + i * PANEL, scales)),
    ...drawTimes(end - 8, scales),
    ...foot.map((line, i) => text(LEFT, end + 14 + i * 17, line)),
    "</svg>",
    "",
  ].join("\n");
}

function scalesOf(recordings: readonly Recording[]): Scales {
  const bins = recordings.flatMap(({ bins }) => bins);
  const length = Math.max(...recordings.map(({ bins }) => bins.length));
  return {
    x: (time) => LEFT + time / (length * BIN) * PLOT,
    seconds: length * BIN / 1_000,
    rate: roundUp(Math.max(...bins.map((bin) => sum(bin) * 1_000 / BIN))),
    failures: Math.max(1, ...bins.map(({ failed }) => failed)),
  };
}

function drawPanel(panel: Panel, top: number, scales: Scales): string[] {
  const { title, recording } = panel;
  const answers = top + TITLE + ANSWERS;
  const failures = answers + GAP + FAILURES;
  return [
    text(LEFT, top + 15, title, "title"),
    text(
      WIDTH - RIGHT,
      top + 15,
      countOf(recording),
      `title ${outcomeOf(recording)}`,
      "end",
    ),
    ...drawAnswerScale(answers, scales),
    ...recording.pids.map((pid, i) =>
      `<path fill="${COLORS[i % COLORS.length]}" d="${areaOf(i, recording, answers, scales)}">` +
      `<title>process ${pid}</title></path>`
    ),
    ...recording.restarts.map((time) =>
      line(
        scales.x(time),
        answers - ANSWERS,
        scales.x(time),
        failures,
        "restart",
      )
    ),
    ...drawFailures(recording, failures, scales),
  ];
}

/** What the process has answered, upon what the older ones have: an outline of steps. */
function areaOf(
  index: number,
  { bins, pids }: Recording,
  bottom: number,
  scales: Scales,
): string {
  const y = (bin: Bin, processes: number) => {
    const below = pids.slice(0, processes).reduce(
      (n, pid) => n + (bin.answered.get(pid) ?? 0),
      0,
    );
    return round(bottom - below * 1_000 / BIN / scales.rate * ANSWERS);
  };
  const x = (i: number) => round(scales.x(i * BIN));
  const own = bins.map((bin, i) => ({ bin, i })).filter(({ bin }) =>
    bin.answered.has(pids[index]!)
  );
  return own.map(({ bin, i }) =>
    `M${x(i)} ${y(bin, index)}H${x(i + 1)}V${y(bin, index + 1)}H${x(i)}Z`
  ).join("");
}

function drawAnswerScale(bottom: number, { rate }: Scales): string[] {
  return [0, 0.5, 1].flatMap((part) => {
    const y = round(bottom - part * ANSWERS);
    return [
      line(LEFT, y, WIDTH - RIGHT, y, part === 0 ? "axis" : "grid"),
      text(
        LEFT - 8,
        y + 4,
        `${thousands(rate * part)}${part === 1 ? "/s" : ""}`,
        "",
        "end",
      ),
    ];
  });
}

/** A bar for each bin, and at each restart how many have failed until the next one. */
function drawFailures(
  { bins, restarts }: Recording,
  bottom: number,
  scales: Scales,
): string[] {
  const bars = bins.map(({ failed }, i) => {
    if (failed === 0) return "";
    const height = Math.max(1.5, failed / scales.failures * FAILURES);
    const x = round(scales.x(i * BIN));
    const width = round(scales.x((i + 1) * BIN) - scales.x(i * BIN));
    return `<rect class="failed" x="${x}" y="${round(bottom - height)}" width="${width}" ` +
      `height="${round(height)}"/>`;
  });
  const counts = restarts.map((time, i) => {
    const first = binOf(time);
    const failed = bins.slice(first, binOf(restarts[i + 1] ?? Infinity)).map((
      bin,
    ) => bin.failed);
    const last = failed.findLastIndex((count) => count > 0);
    if (last < 0) return "";
    const count = failed.reduce((a, b) => a + b);
    return text(
      scales.x((first + last + 1) * BIN) + 3,
      bottom - 6,
      `${count}`,
      "failed",
    );
  });
  return [
    line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis"),
    text(LEFT - 8, bottom + 4, "0", "", "end"),
    text(LEFT - 8, bottom - FAILURES + 4, `${scales.failures}`, "", "end"),
    text(LEFT - 8, bottom - FAILURES / 2 + 4, "failed", "", "end"),
    ...bars,
    ...counts,
  ].filter((element) => element !== "");
}

function binOf(time: number): number {
  return Math.floor(time / BIN);
}

function drawTimes(y: number, { x, seconds }: Scales): string[] {
  const step = seconds > 20 ? 10 : 5;
  const times = Array.from(
    { length: Math.floor(seconds / step) + 1 },
    (_, i) => i * step,
  );
  return times.map((time) => text(x(time * 1_000), y, `${time} s`, "", "middle"));
}

/** What the recording shows, in words. */
function summaryOf({ title, recording }: Panel): string {
  return `${title}: ${countOf(recording)}`;
}

function countOf({ failed, requests, restarts }: Recording): string {
  return `${thousands(failed)} of ${
    thousands(requests)
  } requests failed in ${restarts.length} restarts`;
}

function outcomeOf({ failed }: Recording): string {
  return failed === 0 ? "none" : "failed";
}

function sum({ answered }: Bin): number {
  return [...answered.values()].reduce((a, b) => a + b, 0);
}

/** The next number with one digit and zeros, or half of such a step. */
function roundUp(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(Math.max(value, 1))) / 2;
  return Math.ceil(value / unit) * unit;
}

function thousands(value: number): string {
  return value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function line(
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  kind: string,
): string {
  return `<path class="${kind}" d="M${round(x1)} ${round(y1)}L${round(x2)} ${round(y2)}"/>`;
}

function text(
  x: number,
  y: number,
  content: string,
  kind = "",
  anchor = "start",
): string {
  const attributes = `${kind === "" ? "" : ` class="${kind}"`} text-anchor="${anchor}"`;
  return `<text x="${round(x)}" y="${round(y)}"${attributes}>${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
