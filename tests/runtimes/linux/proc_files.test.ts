/** How files and folders of `/proc` are read with the C library, without a kernel. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { isBoundTo } from "../../../src/runtime/linux/bound_address.ts";
import {
  contentOf,
  cString,
  descriptors,
  linesOf,
  namesIn,
  targetOf,
} from "../../../src/runtime/linux/proc_files.ts";
import type { Addr } from "../../../mod.ts";
import { FakeLibC } from "../../support/fake_libc.ts";
import { runtime } from "../../support/fixture.ts";

const PATH = "/proc/self/net/unix";

for (const chunk of [1, 3, 7, Infinity]) {
  test(`[${runtime}] linesOf() joins lines that are read in pieces of ${chunk} bytes`, () => {
    const fake = new FakeLibC();
    fake.chunk = chunk;
    for (
      const [content, lines] of [
        ["a\nbc\n\nlast\n", ["a", "bc", "", "last"]],
        ["no end", ["no end"]],
        ["a\nno end", ["a", "no end"]],
        ["", []],
        ["\n", [""]],
        ["ä€\n😀", ["ä€", "😀"]],
      ] as const
    ) {
      fake.files.set(PATH, content);
      assertEquals([...linesOf(fake.libc, PATH)], [...lines]);
    }
    assertEquals(fake.openFiles, 0);
  });
}

test(`[${runtime}] linesOf() reads no further than it is asked, and closes the file`, () => {
  const fake = new FakeLibC();
  fake.chunk = 10;
  fake.files.set(PATH, "first\nsecond\n".repeat(1_000));
  for (const line of linesOf(fake.libc, PATH)) {
    assertEquals(line, "first");
    break;
  }
  assertEquals([fake.bytesRead, fake.openFiles], [10, 0]);
});

test(`[${runtime}] linesOf(), contentOf() and namesIn() find nothing where there is nothing`, () => {
  const fake = new FakeLibC();
  assertEquals([...linesOf(fake.libc, PATH)], []);
  assertEquals(contentOf(fake.libc, PATH), "");
  assertEquals(namesIn(fake.libc, PATH), []);
  assertEquals(targetOf(fake.libc, PATH), "");
});

test(`[${runtime}] contentOf() returns a text with newlines and zeros as it is`, () => {
  const fake = new FakeLibC();
  fake.files.set(PATH, "1 (a\nb) S\0ä");
  assertEquals(contentOf(fake.libc, PATH), "1 (a\nb) S\0ä");
});

test(`[${runtime}] namesIn() lists all the entries of a folder, of any length`, () => {
  const fake = new FakeLibC();
  const names = ["1", "22", "self", "x".repeat(255), "ä", "12345678"];
  fake.folders.set("/proc", names);
  assertEquals(namesIn(fake.libc, "/proc"), [".", "..", ...names]);
  assertEquals(fake.openFiles, 0);
});

test(`[${runtime}] descriptors() leaves out the folder that it reads them from`, () => {
  const fake = new FakeLibC();
  // The next number that the library opens.
  fake.folders.set("/proc/self/fd", ["0", "1", "2", "10", "31"]);
  assertEquals(descriptors(fake.libc), [0, 1, 2, 31]);
  assertEquals(fake.openFiles, 0);
});

test(`[${runtime}] targetOf() returns where a link leads`, () => {
  const fake = new FakeLibC();
  fake.links.set("/proc/self/fd/3", "socket:[12345]");
  assertEquals(targetOf(fake.libc, "/proc/self/fd/3"), "socket:[12345]");
});

test(`[${runtime}] cString() ends a path with a zero`, () => {
  assertEquals([...cString("/ä")], [0x2f, 0xc3, 0xa4, 0]);
});

test(`[${runtime}] isBoundTo() takes an address of IPv4 in one of IPv6 for that of IPv4`, () => {
  const at = (hostname: string, port = 80): Addr => ({ transport: "tcp", hostname, port });
  for (
    const [bound, addr, expected] of [
      [at("127.0.0.1"), at("127.0.0.1"), true],
      [at("::ffff:127.0.0.1"), at("127.0.0.1"), true],
      [at("127.0.0.1"), at("::ffff:127.0.0.1"), true],
      [at("127.0.0.1"), at("127.0.0.1", 81), false],
      [at("127.0.0.1"), at("127.0.0.2"), false],
      [at("::1"), at("::1"), true],
      [at("::"), at("0.0.0.0"), false],
      [at("::ffff:7f00:1"), at("7f00:1"), false],
      [undefined, at("::1"), false],
      [at("::1"), { transport: "unix", path: "/x" }, false],
      [{ transport: "unix", path: "/x" }, { transport: "unix", path: "/x" }, true],
      [{ transport: "unix", path: "/x" }, { transport: "unix", path: "/y" }, false],
    ] satisfies [Addr | undefined, Addr, boolean][]
  ) {
    assertEquals(isBoundTo(bound, addr), expected, JSON.stringify([bound, addr]));
  }
});
