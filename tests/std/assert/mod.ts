/**
 * Stand-ins for the functions of `@std/assert` that the tests use, with their names and signatures,
 * for where JSR cannot be reached. `deno task test` uses the real ones.
 */
import { deepStrictEqual } from "node:assert";

/** Thrown by the functions below. */
export class AssertionError extends Error {
  override readonly name: string = "AssertionError";
}

export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg || "The value is falsy");
}

export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    deepStrictEqual(actual, expected);
  } catch (error) {
    const differ = error instanceof Error ? error.message : String(error);
    throw new AssertionError(`${msg ?? "Values are not equal"}: ${differ}`);
  }
}

export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (actual.includes(expected)) return;
  throw new AssertionError(
    `${msg ?? "The string does not include the other"}: "${expected}" in ${JSON.stringify(actual)}`,
  );
}

export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (expected.test(actual)) return;
  throw new AssertionError(
    `${msg ?? "The string does not match"}: ${expected} in ${JSON.stringify(actual)}`,
  );
}

export function assertThrows<E extends Error>(
  fn: () => unknown,
  // The arguments of any error's constructor.
  // deno-lint-ignore no-explicit-any
  ErrorClass: abstract new (...args: any[]) => E,
  msgIncludes?: string,
): E {
  try {
    fn();
  } catch (error) {
    assert(error instanceof ErrorClass, `Threw ${error}, not a ${ErrorClass.name}`);
    if (msgIncludes !== undefined) assertStringIncludes(error.message, msgIncludes);
    return error;
  }
  throw new AssertionError("The function did not throw");
}

export async function assertRejects<E extends Error>(
  fn: () => PromiseLike<unknown>,
  // The arguments of any error's constructor.
  // deno-lint-ignore no-explicit-any
  ErrorClass: abstract new (...args: any[]) => E,
  msgIncludes?: string,
): Promise<E> {
  try {
    await fn();
  } catch (error) {
    assert(error instanceof ErrorClass, `Rejected with ${error}, not with a ${ErrorClass.name}`);
    if (msgIncludes !== undefined) assertStringIncludes(error.message, msgIncludes);
    return error;
  }
  throw new AssertionError("The function did not reject");
}
