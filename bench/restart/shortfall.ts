/** How much a service has answered less than usual, from its answers in bins. */
import { median } from "../stats.ts";

/**
 * Over how many bins the moving median goes. A single bin that is low by chance, because the client
 * or the system paused, does not count, while a run of two bins or more keeps its length: a median
 * neither shortens such a run nor smears it, as a mean would. What is shorter shows in `raw` alone.
 */
const MEDIAN_OVER = 3;

/** The part of the usual below which a bin is low. */
const LEVEL = 0.8;

/** What is missing within a window. All are times in ms. */
export interface Shortfall {
  /** The bins that are low. */
  readonly raw: number;
  /** The bins whose moving median is low. */
  readonly low: number;
  /** The longest run of those. */
  readonly longest: number;
  /** The longest run of bins without any answer. */
  readonly silent: number;
  /** The time in which a service would usually give the answers that are missing on the whole. */
  readonly missing: number;
}

/** Compares bins of so many milliseconds with what such a bin usually holds. */
export function shortfall(
  bins: readonly number[],
  usual: number,
  bin: number,
): Shortfall {
  const isLow = (count: number) => count < usual * LEVEL;
  const smooth = movingMedian(bins);
  const sum = bins.reduce((a, b) => a + b, 0);
  return {
    raw: bins.filter(isLow).length * bin,
    low: smooth.filter(isLow).length * bin,
    longest: longestRun(smooth, isLow) * bin,
    silent: longestRun(bins, (count) => count === 0) * bin,
    missing: (bins.length - sum / usual) * bin,
  };
}

/** The bins at either end are compared with what there is of their neighbors. */
function movingMedian(bins: readonly number[]): number[] {
  const side = (MEDIAN_OVER - 1) / 2;
  return bins.map((_, i) => median(bins.slice(Math.max(i - side, 0), i + side + 1)));
}

function longestRun(
  bins: readonly number[],
  is: (count: number) => boolean,
): number {
  let [run, longest] = [0, 0];
  for (const count of bins) {
    run = is(count) ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}
