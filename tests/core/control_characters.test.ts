/** No character that acts on a terminal, or on how a line is read, reaches one. */
import { test } from "node:test";
import process from "node:process";
import { assertEquals, assertRejects } from "@std/assert";
import { graceful, serve, ShutdownIncompleteError, type ShutdownReport } from "../../mod.ts";
import { health } from "../../src/health/mod.ts";
import { notify } from "../../src/systemd/notify.ts";
import { lineOf } from "../../src/graceful/log_lines.ts";
import { reportError } from "../../src/core/report_error.ts";
import { acting, EVIL } from "../support/control_characters.ts";
import { runtime } from "../support/fixture.ts";

test(`[${runtime}] lineOf() writes no control characters`, () => {
  const conn = {
    state: "active",
    age: 1,
    remoteAddr: { transport: "unix", path: EVIL },
    method: "GET",
    path: `/${EVIL}`,
    requestAge: 1,
  } as const;
  const events = [
    { type: "forced", connections: [conn] },
    { type: "waiting", left: 1_000, connections: [conn] },
    { type: "other-listeners", listeners: [{ signal: "SIGINT", name: EVIL }] },
    { type: "failed", what: `cleanup ${EVIL}`, error: EVIL.replace("\n", "") },
  ] as const;
  for (const event of events) {
    assertEquals(acting(lineOf({ elapsed: 0, ...event })!.text), [], event.type);
  }
  const report: ShutdownReport = {
    reason: "timeout",
    duration: 1,
    polls: 1,
    idle: 0,
    drained: 0,
    forced: 0,
    connections: [conn],
  };
  assertEquals(acting(new ShutdownIncompleteError(report, undefined).message), []);
});

test(`[${runtime}] reportError() writes no control characters`, () => {
  const { error } = console;
  const written: unknown[] = [];
  console.error = (...values: unknown[]) => written.push(...values);
  reportError(new Error(EVIL));
  reportError(EVIL.replaceAll("\n", ""));
  console.error = error;
  assertEquals(written.length, 2);
  for (const text of written) assertEquals(acting(String(text), "\n"), []);
});

test(`[${runtime}] health() writes no control characters of failing checks`, async () => {
  const check = () => {
    throw new Error(`no${EVIL}`);
  };
  // Names of checks have no controls.
  const name = `db${EVIL.replace(/\p{Cc}/gu, "")}`;
  const probes = health({ readiness: { [name]: check }, details: true, onCheckChange() {} });
  for (const query of ["?verbose", "?format=json"]) {
    const response = await probes(new Request(`http://localhost/readyz${query}`));
    assertEquals(acting(await response.text(), "\n"), [], query);
  }
});

test(`[${runtime}] serve(), graceful() and notify() write no control characters in messages of errors`, async () => {
  const path = `/nowhere/${EVIL.replace("\0", "")}`;
  const refusals = [
    () => serve(() => new Response(), { path }),
    () => serve(() => new Response(), { port: 0, engine: EVIL as "auto" }),
    () => graceful([], { hijacked: EVIL as "wait" }),
    () => notify({ STATUS: EVIL }),
    () => notify({ [EVIL]: 1 }),
  ];
  for (const [index, refusal] of refusals.entries()) {
    const { message } = await assertRejects(refusal, Error);
    assertEquals(acting(message), [], `${index}: ${message}`);
  }
  const { NOTIFY_SOCKET } = process.env;
  process.env["NOTIFY_SOCKET"] = `relative${EVIL.replace("\0", "")}`;
  try {
    // Where there is no FFI the program systemd-notify fails, if it is there.
    const { message } = await assertRejects(() => notify({ READY: 1 }), Error);
    assertEquals(acting(message, "\n"), []);
  } finally {
    if (NOTIFY_SOCKET === undefined) delete process.env["NOTIFY_SOCKET"];
    else process.env["NOTIFY_SOCKET"] = NOTIFY_SOCKET;
  }
});
