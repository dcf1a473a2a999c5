/** The value below which that part of all values lies; 0.5 is the median. */
export function quantile(values: readonly number[], part: number): number {
  if (values.length === 0) {
    throw new RangeError("There is no quantile of nothing");
  }
  const sorted = values.toSorted((a, b) => a - b);
  const at = part * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  const high = sorted[Math.ceil(at)]!;
  return low + (high - low) * (at - Math.floor(at));
}

/** The value in the middle. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Values of several rounds, in short. */
export interface Summary {
  readonly median: number;
  /** The lower and the upper quartile. */
  readonly quartiles: readonly [number, number];
}

/** Summarizes the values of several rounds. */
export function summaryOf(values: readonly number[]): Summary {
  return {
    median: median(values),
    quartiles: [quantile(values, 0.25), quantile(values, 0.75)],
  };
}
