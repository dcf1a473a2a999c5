/** Keeps the process busy for a number of ms. */
export function keepBusy(ms = 0): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
