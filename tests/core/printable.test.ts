/** Text for one line of a log or a terminal. */
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  isPrintable,
  printable,
  printableError,
  printableJson,
  printableLines,
} from "../../src/core/printable.ts";
import { acting, EVIL } from "../support/control_characters.ts";
import { runtime } from "../support/fixture.ts";

test(`[${runtime}] printable() writes each character that acts as its code, and changes nothing else`, () => {
  assertEquals(acting(printable(EVIL)), []);
  assertStringIncludes(printable(EVIL), "\\u001b");
  assertEquals(
    printable("a\r\n\0\x7f\x9b\u202e\u2028"),
    "a\\u000d\\u000a\\u0000\\u007f\\u009b\\u202e\\u2028",
  );
  for (const text of ["", "ä 漢 🙂 \\u001b", "\u200d\u00a0\u00ad", " ~"]) {
    assertEquals(printable(text), text);
  }
});

test(`[${runtime}] printable() is the same on a text that it has written`, () => {
  assertEquals(printable(printable(EVIL)), printable(EVIL));
});

test(`[${runtime}] printableLines() indents each line after the first`, () => {
  assertEquals(
    printableLines("a\ngraceful: b\n    at c\n\u001b[2Jd"),
    [
      "a",
      "    graceful: b",
      "    at c",
      "    \\u001b[2Jd",
    ].join("\n"),
  );
  assertEquals(printableLines(""), "");
  assertEquals(printableLines("a\r\nb"), "a\\u000d\n    b");
});

test(`[${runtime}] printableError() lets an error write no line of its own`, () => {
  const text = printableError(
    new Error(`no\ngraceful: ended after 0 ms: drained, exit code 0${EVIL}`),
  );
  assertEquals(acting(text, "\n"), []);
  assert(!/^graceful/m.test(text), text);
  assertEquals(printableError("a\nb"), "a\n    b");
  assertEquals(printableError(undefined), "undefined");
});

test(`[${runtime}] isPrintable() refuses an error whose message has lines or characters that act`, () => {
  for (const error of [new Error("plain"), "plain", undefined, 1]) {
    assertEquals(isPrintable(error), true, String(error));
  }
  for (const error of [new Error("a\nb"), new Error("a\u001bb"), "a\u202eb"]) {
    assertEquals(isPrintable(error), false, JSON.stringify(String(error)));
  }
});

test(`[${runtime}] printableJson() is JSON of the same value`, () => {
  const value = { [EVIL]: [EVIL, 1, null] };
  assertEquals(acting(printableJson(value)), []);
  assertEquals(JSON.parse(printableJson(value)), value);
});
