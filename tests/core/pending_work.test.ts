/** The promises of `waitUntil`, whatever their members do. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import type { Addr } from "../../src/core/addr.ts";
import { PendingWork } from "../../src/core/pending_work.ts";
import { runtime } from "../support/fixture.ts";

const remoteAddr: Addr = { transport: "unix", path: "" };

function fails(): never {
  throw new Error("expected");
}

/** Promises that have settled, and whose members are hostile. */
const HOSTILE: Record<string, () => PromiseLike<unknown>> = {
  "a catch that returns nothing": () => Object.assign(Promise.resolve(), { catch: () => {} }),
  "a catch that throws": () => Object.assign(Promise.resolve(), { catch: fails }),
  "a then that throws": () => Object.assign(Promise.resolve(), { then: fails }),
  "a constructor that throws": () =>
    Object.defineProperty(Promise.resolve(), "constructor", { get: fails }),
};

for (const [what, make] of Object.entries(HOSTILE)) {
  test(`[${runtime}] PendingWork add() forgets a promise with ${what}`, async () => {
    const { error } = console;
    console.error = () => {};
    const work = new PendingWork();
    try {
      work.add(make(), { remoteAddr, request: undefined });
      for (let turn = 0; turn < 20; turn++) await undefined;
    } finally {
      console.error = error;
    }
    assertEquals(work.isEmpty, true);
  });
}
