/**
 * The gate that holds requests to `/wait` in flight: it counts the requests that have arrived, and lets
 * them go together.
 */
let arrived = 0;
let opening = Promise.withResolvers<void>();
let arrival = Promise.withResolvers<void>();

/** Resolves when the gate is opened. Each request in flight waits here. */
export function pass(): Promise<void> {
  arrived++;
  arrival.resolve();
  arrival = Promise.withResolvers();
  return opening.promise;
}

/** The number of requests that wait at the gate. */
export function waiting(): number {
  return arrived;
}

/** Resolves when that many requests wait at the gate. */
export async function whenWaiting(count: number): Promise<void> {
  while (arrived < count) await arrival.promise;
}

/** Lets the requests at the gate go, and closes the gate behind them. */
export function open(): void {
  arrived = 0;
  opening.resolve();
  opening = Promise.withResolvers();
}
