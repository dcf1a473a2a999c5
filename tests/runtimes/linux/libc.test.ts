/** What the C library is asked for, and on which platforms it is not called at all. */
import { test } from "node:test";
import { readFileSync } from "node:fs";
import process from "node:process";
import { assertEquals } from "@std/assert";
import * as headers from "../../../src/runtime/linux/headers.ts";
import { isAsKnown, LIBRARIES, openLibC, symbolOf } from "../../../src/runtime/linux/libc.ts";
import { runtime } from "../../support/fixture.ts";
import { run } from "../../support/process.ts";

const libc = openLibC();

test(`[${runtime}] symbolOf() asks musl for no name that ends in 64`, () => {
  assertEquals(
    LIBRARIES.map((library) => symbolOf(library, "getdents64")),
    ["getdents64", "getdents", "getdents"],
  );
  assertEquals(LIBRARIES.map((library) => symbolOf(library, "dup3")), ["dup3", "dup3", "dup3"]);
});

if (libc !== undefined) {
  test(`[${runtime}] openLibC() opens nothing on a processor whose numbers are not known`, async () => {
    // Those of this machine last: the library is opened once.
    const program = run("foreign_processor.ts", ["mips64el", "s390x", "riscv64", process.arch]);
    assertEquals(await program.exit, 0, program.output);
    assertEquals(
      program.stdout,
      `mips64el: no\ns390x: no\nriscv64: no\n${process.arch}: yes\n`,
    );
  });

  const asked: Record<string, Partial<typeof libc>> = {
    "the levels of options": {
      getsockopt: (fd, level, name, value, size) =>
        libc.getsockopt(fd, level === headers.SOL_SOCKET ? 0xffff : level, name, value, size),
    },
    "the options": {
      getsockopt: (fd, level, name, value, size) =>
        libc.getsockopt(fd, level, name === headers.SO_DOMAIN ? 4133 : name, value, size),
    },
    "the order of bytes": {
      getsockopt: (fd, level, name, value, size) => {
        const status = libc.getsockopt(fd, level, name, value, size);
        value.reverse();
        return status;
      },
    },
    "the types of sockets": {
      socket: (domain, type, protocol) => libc.socket(domain, type ^ 3, protocol),
    },
    "the flags of sockets": {
      socket: (domain, type, protocol) =>
        libc.socket(domain, type & ~headers.SOCK_CLOEXEC, protocol),
    },
    "the flags of files": {
      socket: (domain, type, protocol) =>
        libc.socket(domain, type & ~headers.SOCK_NONBLOCK, protocol),
    },
  };

  test(`[${runtime}] isAsKnown() is true here`, () => {
    assertEquals(isAsKnown(libc), true);
  });

  for (const [what, functions] of Object.entries(asked)) {
    test(`[${runtime}] isAsKnown() is false where ${what} differ, and leaves no socket open`, () => {
      const open: number[] = [];
      const closed: number[] = [];
      const foreign = { ...libc, ...functions };
      const known = isAsKnown({
        ...foreign,
        socket: (...args) => {
          const fd = foreign.socket(...args);
          open.push(fd);
          return fd;
        },
        close: (fd) => {
          closed.push(fd);
          return libc.close(fd);
        },
      });
      assertEquals(known, false);
      assertEquals(closed, open);
    });
  }

  test(`[${runtime}] isAsKnown() is true for a process that is out of descriptors`, () => {
    assertEquals(isAsKnown({ ...libc, socket: () => -1 }), true);
  });
}

test(`[${runtime}] docs/ffi.md lists each number of the headers`, () => {
  const page = readFileSync(new URL("../../../docs/ffi.md", import.meta.url), "utf8");
  const listed = [...page.matchAll(/^\| `([A-Z]\w+)` +\| (\S+) /gm)]
    .map(([, name, value]) => [name!, Number(value)] as const);
  assertEquals(Object.fromEntries(listed), { ...headers });
});
