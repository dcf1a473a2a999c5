import { printable } from "../core/printable.ts";

/** The checks of options. Each check throws an error that names the option, the rule and the value. */

/** The longest time, in milliseconds, that a timer of any runtime can wait. */
export const MAX_TIMER = 2_147_483_647;

/** Throws a TypeError that names the option, the rule and the value. */
export function refuse(what: string, rule: string, value: unknown): never {
  throw new TypeError(`Cannot ${what} must be ${rule}: current value is ${show(value)}`);
}

function show(value: unknown): string {
  return typeof value === "string" ? `"${printable(value)}"` : printable(String(value));
}

/**
 * Throws a TypeError unless `value` is a function. The error shows a correct call, because other APIs take
 * the handler within one object.
 */
export function checkHandler(call: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new TypeError(
    `Cannot serve as 'handler' must be a function: current value is ${
      show(value)
    }; the handler comes first, as in ${call}`,
  );
}

/** Throws a TypeError unless `value` has a `then` method, as a promise has. */
export function checkPromise(what: string, value: unknown): void {
  // The cast: anything but null and undefined has properties.
  const { then } = (value ?? {}) as { then?: unknown };
  if (typeof then !== "function") refuse(what, "a promise", value);
}

/** Throws unless `value` is undefined or an integer from `min` to `max`. */
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

/** Throws unless `value` is undefined or a number of milliseconds from `min` to `MAX_TIMER`. */
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

/** Throws a TypeError unless `value` is undefined or has the type `type`. */
export function checkType(
  what: string,
  value: unknown,
  type: "function" | "string" | "boolean",
): void {
  if (value !== undefined && typeof value !== type) refuse(what, `a ${type}`, value);
}

/** Throws a TypeError unless `value` is an object with named properties. */
export function checkObject(what: string, value: unknown): asserts value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    refuse(what, "an object", value);
  }
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
