import { printable } from "../core/printable.ts";

/** The checks of options: each refuses what breaks its rule, and names the option and the value. */

/** The longest time a timer of any runtime can wait, in ms. */
export const MAX_TIMER = 2_147_483_647;

/** Throws a TypeError that names the option, the rule and the value. */
export function refuse(what: string, rule: string, value: unknown): never {
  throw new TypeError(`Cannot ${what} must be ${rule}: current value is ${show(value)}`);
}

function show(value: unknown): string {
  return typeof value === "string" ? `"${printable(value)}"` : printable(String(value));
}

/** Throws a TypeError unless `value` is a promise, or looks like one. */
export function checkPromise(what: string, value: unknown): void {
  // The cast: anything but null and undefined has properties.
  const { then } = (value ?? {}) as { then?: unknown };
  if (typeof then !== "function") refuse(what, "a promise", value);
}

/** Throws unless `value` is undefined or an integer within the limits. */
export function checkInteger(
  what: string,
  value: unknown,
  min: number,
  max: number,
): void {
  if (value === undefined) return;
  if (typeof value !== "number") refuse(what, "a number", value);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(
      `Cannot ${what} must be an integer from ${min} to ${max}: current value is ${show(value)}`,
    );
  }
}

/** Throws unless `value` is undefined or a number of milliseconds that a timer can wait. */
export function checkMilliseconds(what: string, value: unknown, min: number): void {
  if (value === undefined) return;
  if (typeof value !== "number") refuse(what, "a number of milliseconds", value);
  // Written so that NaN is refused as well.
  if (!(value >= min && value <= MAX_TIMER)) {
    throw new RangeError(
      `Cannot ${what} must be from ${min} to ${MAX_TIMER} ms: current value is ${show(value)}`,
    );
  }
}

/** Throws a TypeError unless `value` is undefined or of the type. */
export function checkType(
  what: string,
  value: unknown,
  type: "function" | "string" | "boolean",
): void {
  if (value !== undefined && typeof value !== type) refuse(what, `a ${type}`, value);
}

/** Throws a TypeError unless `value` is undefined or an AbortSignal. */
export function checkSignal(what: string, value: unknown): void {
  if (value !== undefined && !(value instanceof AbortSignal)) refuse(what, "an AbortSignal", value);
}

/** Throws unless `value` is undefined or a string that is not empty. */
export function checkText(what: string, value: unknown): void {
  checkType(what, value, "string");
  if (value === "") refuse(what, "a string that is not empty", "");
}
