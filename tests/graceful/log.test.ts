/** What the log says of the end, and how it looks on a terminal. */
import { test } from "node:test";
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { ConnInfo, GracefulEvent, ShutdownReport } from "../../mod.ts";
import { UpgradeError } from "../../src/core/errors.ts";
import { PendingWork } from "../../src/core/pending_work.ts";
import { lineOf } from "../../src/graceful/log_lines.ts";
import type { Plan } from "../programs/ending.ts";
import { Ending } from "../support/ending.ts";
import { runtime } from "../support/fixture.ts";
import { installed } from "../../support/installed.ts";
import { commandOf, Program } from "../support/process.ts";

const connection: ConnInfo = {
  state: "active",
  age: 60_000,
  remoteAddr: { transport: "tcp", hostname: "10.0.0.7", port: 1 },
  method: "GET",
  path: "/report",
  requestAge: 4_230,
};
const idle: ConnInfo = {
  state: "idle",
  age: 990,
  remoteAddr: { transport: "unix", path: "" },
};
const report = { cause: "SIGTERM", servers: [], forced: false, errors: [], exitCode: 0 };

/** The report of a server that its own `signal` or `close()` has closed. */
function closed(forced: number): ShutdownReport {
  return {
    reason: "closed",
    duration: 1,
    polls: 0,
    idle: 0,
    drained: 0,
    forced,
    connections: [],
  };
}

const lines: [event: GracefulEvent, text: string | undefined][] = [
  [{ elapsed: 0, type: "ending", cause: "SIGTERM", drainDelay: 0 }, undefined],
  [
    { elapsed: 0, type: "ending", cause: "SIGTERM", drainDelay: 2_500 },
    "SIGTERM: no longer ready, still serving for 2.5 s",
  ],
  [
    { elapsed: 0, type: "draining", cause: "aborted", timeout: 15_000, connections: [] },
    "aborted: draining no connection, for 15 s at most",
  ],
  [
    {
      elapsed: 0,
      type: "draining",
      cause: "SIGINT",
      timeout: 300,
      connections: [idle, connection, idle],
    },
    "SIGINT: draining 3 connections (2 idle, 1 active), for 300 ms at most",
  ],
  [
    {
      elapsed: 1_000,
      type: "waiting",
      left: 14_000,
      connections: [{ ...connection, path: "/new", requestAge: 10 }, connection],
    },
    "waiting for 2 connections (2 active), 14 s left; the oldest request is GET /report for 4.2 s " +
    "from 10.0.0.7",
  ],
  [
    {
      elapsed: 1_000,
      type: "waiting",
      left: 14_000,
      connections: [{ ...idle, state: "hijacked" }],
    },
    "waiting for 1 connection (1 hijacked), 14 s left",
  ],
  [
    { elapsed: 15_000, type: "forced", connections: [connection, idle] },
    "the deadline has passed, closing by force: GET /report for 4.2 s from 10.0.0.7; idle for 990 ms",
  ],
  [
    { elapsed: 15_000, type: "forced", connections: Array(12).fill(idle) },
    `the deadline has passed, closing by force: ${
      Array(10).fill("idle for 990 ms").join("; ")
    }; and 2 more`,
  ],
  [
    {
      elapsed: 1,
      type: "waiting",
      left: 600,
      connections: [{ ...connection, path: `/\x1b[2J\n\x07ä${"x".repeat(200)}` }],
    },
    `waiting for 1 connection (1 active), 600 ms left; the oldest request is GET /\\u001b[2J\\u000a\\u0007ä${
      "x".repeat(92)
    }… for 4.2 s from 10.0.0.7`,
  ],
  [{ elapsed: 1, type: "waiting", left: 499, connections: [connection] }, undefined],
  [{ elapsed: 1, type: "drained", forced: false }, undefined],
  [
    { elapsed: 0, type: "draining", cause: "finished", timeout: 15_000, connections: [] },
    "a server has closed by itself, no connection is left",
  ],
  [
    { elapsed: 0, type: "ignored", signal: "SIGHUP", why: "an upgrade is under way" },
    "SIGHUP ignored: an upgrade is under way",
  ],
  [{ elapsed: 4_200, type: "ended", report }, "ended after 4.2 s: drained, exit code 0"],
  [
    { elapsed: 4, type: "ended", report: { ...report, servers: [closed(2), closed(1)] } },
    "ended after 4 ms: closed without a drain, cutting off 3 connections, exit code 0",
  ],
  [
    { elapsed: 4, type: "ended", report: { ...report, servers: [closed(0)] } },
    "ended after 4 ms: closed, exit code 0",
  ],
  [
    {
      elapsed: 4_200,
      type: "ended",
      report: { ...report, forced: true, errors: [1, 2], exitCode: 1 },
    },
    "ended after 4.2 s: closed by force, with 2 errors, exit code 1",
  ],
  [
    { elapsed: 1, type: "interrupted", signal: "SIGINT", exitCode: 130, connections: [connection] },
    "SIGINT during the end, ending at once with exit code 130: cutting off GET /report for 4.2 s from 10.0.0.7",
  ],
  [
    { elapsed: 1, type: "interrupted", signal: "SIGINT", exitCode: 130, connections: [] },
    "SIGINT during the end, ending at once with exit code 130: no connection is open",
  ],
  [
    { elapsed: 1, type: "kept-alive", by: ["Timeout", "TCPSocketWrap", "Timeout"], exitCode: 0 },
    "2 timers (Timeout), a TCP connection (TCPSocketWrap) still keep the process alive, ending it " +
    "with exit code 0",
  ],
  [
    { elapsed: 1, type: "kept-alive", by: ["Immediate"], exitCode: 0 },
    "Immediate still keeps the process alive, ending it with exit code 0",
  ],
  [
    { elapsed: 1, type: "kept-alive", by: [], exitCode: 1 },
    "something still keeps the process alive, ending it with exit code 1",
  ],
];

test(`[${runtime}] lineOf() has a line for each event`, () => {
  for (const [event, text] of lines) assertEquals(lineOf(event)?.text, text);
  const error = new Error("why");
  const line = lineOf({ elapsed: 1, type: "failed", what: "cleanup db", error });
  assert(line!.text.startsWith("cleanup db failed: Error: why\n    at "), line!.text);
});

test(`[${runtime}] lineOf() says whose upgrade has failed, and that the process keeps serving`, () => {
  const error = new UpgradeError("Cannot");
  const line = lineOf({ elapsed: 1, type: "failed", what: "the upgrade", error });
  assertEquals(
    line?.text,
    `the upgrade failed, process ${process.pid} keeps serving: UpgradeError: Cannot`,
  );
});

test(`[${runtime}] lineOf() tells background work from connections`, () => {
  const work = new PendingWork();
  const since = performance.now();
  const { remoteAddr } = connection;
  const mail = { method: "GET", path: "/mail", since };
  work.add(new Promise(() => {}), { remoteAddr, request: mail });
  work.add(new Promise(() => {}), { remoteAddr, request: undefined });
  const both = work.snapshot(since + 5_000);
  const waiting = (connections: readonly ConnInfo[]) =>
    lineOf({ elapsed: 1, type: "waiting", left: 9_000, connections })?.text;
  const oldest = "; the oldest is background work of GET /mail for 5 s from 10.0.0.7";
  assertEquals(waiting(both), `waiting for 2 pieces of background work, 9 s left${oldest}`);
  assertEquals(
    waiting([...both.slice(0, 1), idle]),
    `waiting for 1 connection (1 idle) and 1 piece of background work, 9 s left${oldest}`,
  );
  assertMatch(
    lineOf({ elapsed: 1, type: "forced", connections: both })!.text,
    /by force: background work of GET \/mail for 5 s from 10\.0\.0\.7; background work for \S+ s$/,
  );
});

/** In a pattern. */
const ESC = "\\x1b";

const plan: Plan = { servers: ["auto"], log: "default" };
const drained = /^graceful: ended after \S+ s: drained, exit code 0$/m;

test(`[${runtime}] graceful() writes lines that stay where there is no terminal`, async () => {
  const ending = await Ending.start(plan);
  const client = await ending.inFlight("/gate");
  ending.program.signal("SIGTERM");
  await ending.says(/^graceful: SIGTERM: draining 1 connection \(1 active\), for 15 s at most$/m);
  await ending.says(
    /^graceful: waiting for 1 connection \(1 active\), 1[34](\.\d)? s left; the oldest request is GET \/gate for \S+ s from 127\.0\.0\.1$/m,
  );
  client.vanish();
  assertEquals(await ending.exit(), 0);
  await ending.says(drained);
  assertEquals(escapesIn(ending), []);
});

test(`[${runtime}] graceful() writes nothing with log: false`, async () => {
  const ending = await Ending.start({
    servers: ["auto"],
    graceful: { log: false },
    cleanups: ["failing"],
  });
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 1);
  const { output, stdout } = ending.program;
  assertEquals(output, stdout);
  assert(!output.includes("event: "), output);
});

test(`[${runtime}] graceful() goes on when nobody reads its log any more`, async () => {
  const ending = await Ending.start(plan);
  const { stderr } = ending.program.child;
  const closed = new Promise((resolve) => stderr!.once("close", resolve));
  stderr!.destroy();
  await closed;
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 0);
});

test(`[${runtime}] graceful() goes on when its log cannot be written`, async () => {
  const file = fileURLToPath(new URL("../programs/ending.ts", import.meta.url));
  const [command, ...args] = commandOf(file);
  const full = openSync(process.platform === "linux" ? "/dev/full" : "/dev/null", "w");
  const stdio: ["ignore", "pipe", number] = ["ignore", "pipe", full];
  const child = spawn(command, [...args, JSON.stringify({ ...plan, cleanups: ["quick"] })], {
    stdio,
  });
  closeSync(full);
  const ending = new Ending(new Program(child));
  await ending.says(/^up;/m);
  ending.program.signal("SIGTERM");
  assertEquals(await ending.exit(), 0);
  await ending.says(/cleanup: quick;/);
});

/** Starts the service with a terminal of its own, by the program `script` of util-linux. */
async function onTerminal(
  env: NodeJS.ProcessEnv,
  columns: number,
): Promise<Ending> {
  const file = fileURLToPath(new URL("../programs/ending.ts", import.meta.url));
  const words = [...commandOf(file), JSON.stringify(plan)].map((word) => `'${word}'`);
  const command = `stty cols ${columns} && exec ${words.join(" ")}`;
  const { NO_COLOR: _, ...inherited } = process.env;
  const ending = new Ending(
    new Program(
      spawn("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
        env: { ...inherited, TERM: "xterm", ...env },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    ),
  );
  await ending.says(/up;/);
  return ending;
}

/** Has it wait for a request for a second, and end. */
async function endAfterWaiting(ending: Ending, waiting: RegExp): Promise<void> {
  const client = await ending.inFlight("/gate");
  process.kill(Number(await ending.says(/starts: (\d+)/)), "SIGTERM");
  await ending.says(waiting);
  client.vanish();
  assertEquals(await ending.exit(), 0);
}

/** The escape sequences in what the log has written. */
function escapesIn({ program: { output } }: Ending): string[] {
  // Deno prepares a terminal when it starts.
  return output.slice(output.indexOf("up;")).match(new RegExp(`${ESC}\\[[\\d;]*[A-Za-z]`, "g")) ??
    [];
}

function testOnTerminal(what: string, run: () => Promise<void>): void {
  const name = `[${runtime}, on a terminal] ${what}`;
  if (process.platform === "linux" && installed("script") !== undefined) test(name, run);
  else test(`${name} (skipped: script of util-linux is not installed)`, { skip: true });
}

testOnTerminal("graceful() redraws in place what passes, in colors", async () => {
  const ending = await onTerminal({}, 200);
  await endAfterWaiting(
    ending,
    new RegExp(`graceful: ${ESC}\\[33mwaiting for 1 connection .*127\\.0\\.0\\.1${ESC}\\[39m`),
  );
  const { output } = ending.program;
  const redrawn =
    `${ESC}\\[39m\\r${ESC}\\[2Kgraceful: ${ESC}\\[32mended after .*${ESC}\\[39m\\r\\n`;
  assert(new RegExp(redrawn).test(output), output);
});

testOnTerminal("graceful() leaves colors out with NO_COLOR", async () => {
  const ending = await onTerminal({ NO_COLOR: "1" }, 200);
  await endAfterWaiting(ending, /graceful: waiting for 1 connection .*127\.0\.0\.1/);
  assertEquals(new Set(escapesIn(ending)), new Set(["\x1b[2K"]));
});

testOnTerminal("graceful() does not let a line wrap that it redraws", async () => {
  const ending = await onTerminal({ NO_COLOR: "1" }, 30);
  await endAfterWaiting(ending, /graceful: waiting for 1 conne/);
  const { output } = ending.program;
  assert(output.includes("\ngraceful: waiting for 1 conne\r\x1b[2K"), output);
});

testOnTerminal("graceful() writes lines where the terminal cannot go back", async () => {
  const ending = await onTerminal({ TERM: "dumb" }, 200);
  await endAfterWaiting(ending, /graceful: waiting for 1 connection [^\n]*\n/);
  assertEquals(escapesIn(ending), []);
});
