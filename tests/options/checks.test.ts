/** What an option may be: the limits of each check, and what its message says. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import {
  checkInteger,
  checkMilliseconds,
  checkSignal,
  checkText,
  checkType,
  MAX_TIMER,
  refuse,
} from "../../src/options/checks.ts";
import { runtime } from "../support/fixture.ts";

const WHAT = "serve as 'x'";

/** What a check throws, as text; undefined if it takes the value. */
function refusal(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return String(error);
  }
}

/** Checks that each value is taken, and each of the others refused with this text. */
function checks(
  check: (value: unknown) => void,
  { takes, refuses }: { takes: unknown[]; refuses: [unknown, string][] },
): void {
  for (const value of takes) assertEquals(refusal(() => check(value)), undefined, String(value));
  for (const [value, message] of refuses) assertEquals(refusal(() => check(value)), message);
}

test(`[${runtime}] checkInteger() takes what is absent, and integers within the limits`, () => {
  const range = (value: string) =>
    `RangeError: Cannot ${WHAT} must be an integer from 1 to 65535: current value is ${value}`;
  checks((value) => checkInteger(WHAT, value, 1, 65_535), {
    takes: [undefined, 1, 65_535, 2.0],
    refuses: [
      [0, range("0")],
      [-0, range("0")],
      [65_536, range("65536")],
      [1.5, range("1.5")],
      [NaN, range("NaN")],
      [Infinity, range("Infinity")],
      ["80", `TypeError: Cannot ${WHAT} must be a number: current value is "80"`],
      [null, `TypeError: Cannot ${WHAT} must be a number: current value is null`],
      [80n, `TypeError: Cannot ${WHAT} must be a number: current value is 80`],
    ],
  });
});

test(`[${runtime}] checkMilliseconds() takes what a timer can wait, fractions too`, () => {
  const range = (value: string) =>
    `RangeError: Cannot ${WHAT} must be from 0 to 2147483647 ms: current value is ${value}`;
  const type = `TypeError: Cannot ${WHAT} must be a number of milliseconds: current value is`;
  checks((value) => checkMilliseconds(WHAT, value, 0), {
    takes: [undefined, 0, 0.5, MAX_TIMER],
    refuses: [
      [-1, range("-1")],
      [MAX_TIMER + 1, range("2147483648")],
      [NaN, range("NaN")],
      [Infinity, range("Infinity")],
      ["1", `${type} "1"`],
      [null, `${type} null`],
    ],
  });
  checks((value) => checkMilliseconds(WHAT, value, 1), { takes: [1], refuses: [] });
  assertEquals(
    refusal(() => checkMilliseconds(WHAT, 0.5, 1)),
    `RangeError: Cannot ${WHAT} must be from 1 to 2147483647 ms: current value is 0.5`,
  );
});

test(`[${runtime}] checkType() takes what is absent, and its type`, () => {
  const message = (type: string, value: string) =>
    `TypeError: Cannot ${WHAT} must be a ${type}: current value is ${value}`;
  checks((value) => checkType(WHAT, value, "boolean"), {
    takes: [undefined, true, false],
    refuses: [[0, message("boolean", "0")], ["true", message("boolean", '"true"')]],
  });
  checks((value) => checkType(WHAT, value, "function"), {
    takes: [undefined, () => {}, class {}],
    refuses: [[{}, message("function", "[object Object]")], [null, message("function", "null")]],
  });
  checks((value) => checkType(WHAT, value, "string"), {
    takes: [undefined, ""],
    refuses: [[1, message("string", "1")]],
  });
});

test(`[${runtime}] checkSignal() takes what is absent, and an AbortSignal`, () => {
  const message = (value: string) =>
    `TypeError: Cannot ${WHAT} must be an AbortSignal: current value is ${value}`;
  checks((value) => checkSignal(WHAT, value), {
    takes: [undefined, new AbortController().signal, AbortSignal.abort()],
    refuses: [
      ["SIGTERM", message('"SIGTERM"')],
      [new AbortController(), message("[object AbortController]")],
      [null, message("null")],
    ],
  });
});

test(`[${runtime}] checkText() takes what is absent, and text that is not empty`, () => {
  checks((value) => checkText(WHAT, value), {
    takes: [undefined, "a", " "],
    refuses: [
      ["", `TypeError: Cannot ${WHAT} must be a string that is not empty: current value is ""`],
      [1, `TypeError: Cannot ${WHAT} must be a string: current value is 1`],
    ],
  });
});

test(`[${runtime}] refuse() writes the value without characters that act on a terminal`, () => {
  assertEquals(
    refusal(() => refuse(WHAT, "plain", "a\n\u001b[31m")),
    `TypeError: Cannot ${WHAT} must be plain: current value is "a\\u000a\\u001b[31m"`,
  );
  assertEquals(
    refusal(() => refuse(WHAT, "plain", { toString: () => "\u202e" })),
    `TypeError: Cannot ${WHAT} must be plain: current value is \\u202e`,
  );
});
