/** The polls of a drain over connections of the test's: which connections a poll looks at, and how many. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Addr } from "../../src/core/addr.ts";
import type { ConnState } from "../../src/core/conn.ts";
import { type Conn, ConnTable, type PollPolicy } from "../../src/server/conn_table.ts";
import { settled } from "../support/fake_timers.ts";
import { runtime } from "../support/fixture.ts";

const FULL: PollPolicy = {
  spareIdle: false,
  ignoreHijacked: false,
  onlyChanged: false,
  atOnce: false,
};
const CHANGED: PollPolicy = { ...FULL, onlyChanged: true };

/** A connection in a state that the test sets. It takes a while to close, as a real one does. */
class ScriptedConn implements Conn {
  readonly acceptedAt = 0;
  readonly remoteAddr: Addr = { transport: "unix", path: "" };
  current: ConnState;
  looks = 0;
  closes = 0;
  onClose = (): void => {};

  constructor(state: ConnState) {
    this.current = state;
  }

  state(): ConnState {
    this.looks++;
    return this.current;
  }

  request(): undefined {}

  closeIdle(): void {
    this.closes++;
    this.onClose();
  }

  destroy(): void {}
}

/** A table with a number of connections in each state, which drains. */
function draining(states: Partial<Record<ConnState, number>>) {
  const table = new ConnTable<ScriptedConn>();
  const conns = Object.entries(states).flatMap(([state, count]) =>
    // The cast: `Object.entries` forgets the type of keys.
    Array.from({ length: count }, () => new ScriptedConn(state as ConnState))
  );
  for (const conn of conns) table.add(conn);
  let changes = 0;
  table.startDrain(() => changes++);
  const looks = () => conns.reduce((sum, conn) => sum + conn.looks, 0);
  return { table, conns, looks, changes: () => changes };
}

test(`[${runtime}] closeIdleConns() asks a connection that was told to close no more when others close`, () => {
  const { table, conns, looks } = draining({ idle: 1_000, active: 100 });
  assertEquals(table.closeIdleConns(0, FULL), false);
  // On a busy machine the slice of a poll ends before its connections do.
  while (looks() < 1_100) table.closeIdleConns(0, CHANGED);
  assertEquals(looks(), 1_100);
  const active = conns.filter(({ current }) => current === "active");
  for (const conn of conns) {
    if (conn.current === "idle") table.delete(conn);
    assertEquals(table.closeIdleConns(0, CHANGED), false);
  }
  assertEquals(looks(), 1_100);
  for (const [index, conn] of active.entries()) {
    conn.current = "idle";
    table.changed(conn);
    while (looks() <= 1_100 + index) table.closeIdleConns(0, CHANGED);
    table.delete(conn);
  }
  assertEquals(looks(), 1_200);
  assert(table.closeIdleConns(0, CHANGED));
  assertEquals(table.tally, { idle: 1_100, drained: 0, forced: 0 });
});

test(`[${runtime}] closeIdleConns() looks at a new connection of a drain without being told`, () => {
  const { table } = draining({});
  const late = new ScriptedConn("idle");
  table.add(late);
  assertEquals(table.closeIdleConns(0, CHANGED), false);
  assertEquals(late.closes, 1);
});

test(`[${runtime}] closeIdleConns() leaves an idle connection that one caller spares to another caller`, () => {
  const { table, conns: [conn] } = draining({ active: 1 });
  table.closeIdleConns(0, FULL);
  conn!.current = "idle";
  table.changed(conn!);
  table.closeIdleConns(0, { ...CHANGED, spareIdle: true });
  table.closeIdleConns(0, { ...FULL, spareIdle: true });
  assertEquals(conn!.closes, 0);
  table.closeIdleConns(0, CHANGED);
  assertEquals(conn!.closes, 1);
});

test(`[${runtime}] closeIdleConns() waits for hijacked connections unless they are ignored`, () => {
  const { table, conns: [hijacked, active] } = draining({ hijacked: 1, active: 1 });
  const ignoring = { ...FULL, ignoreHijacked: true };
  assertEquals(table.closeIdleConns(0, ignoring), false);
  table.delete(active!);
  assertEquals(table.closeIdleConns(0, { ...CHANGED, ignoreHijacked: true }), true);
  assertEquals(table.closeIdleConns(0, CHANGED), false);
  table.delete(hijacked!);
  assertEquals(table.closeIdleConns(0, CHANGED), true);
});

test(`[${runtime}] closeIdleConns() counts a connection as drained that only seemed idle`, () => {
  const { table, conns: [conn] } = draining({ idle: 1 });
  table.closeIdleConns(0, FULL);
  conn!.current = "active";
  table.closeIdleConns(0, FULL);
  table.delete(conn!);
  assertEquals(table.tally, { idle: 0, drained: 1, forced: 0 });
});

test(`[${runtime}] closeIdleConns() closes many connections in slices, and asks for its next turn`, () => {
  const { table, conns, changes } = draining({ idle: 100 });
  const closed = () => conns.reduce((sum, { closes }) => sum + closes, 0);
  const { now } = performance;
  let time = 0;
  for (const conn of conns) conn.onClose = () => time += 0.5;
  performance.now = () => time;
  try {
    let polls = 0;
    for (let left = conns.length; left > 0; left = conns.length - closed()) {
      table.closeIdleConns(0, { ...FULL, onlyChanged: polls > 0, atOnce: false });
      polls++;
      const inSlice = left - (conns.length - closed());
      assert(inSlice >= 1 && inSlice < 20, `${inSlice} in one slice`);
      assertEquals(changes(), closed() < conns.length ? polls : polls - 1);
    }
  } finally {
    performance.now = now;
  }
  assert(conns.every(({ closes }) => closes === 1));
});

test(`[${runtime}] destroyAll() waits for a connection that arrived when the table had been empty`, async () => {
  const { table, conns: [first] } = draining({ active: 1 });
  table.delete(first!);
  const late = new ScriptedConn("new");
  table.add(late);
  let isDone = false;
  const done = table.destroyAll().then(() => isDone = true);
  await settled();
  assertEquals(isDone, false);
  table.delete(late);
  await done;
});
