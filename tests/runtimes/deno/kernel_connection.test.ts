/** What the kernel's answers mean for one connection of the engine "deno", with a kernel that the test has written. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Client } from "../../../src/runtime/deno/clients.ts";
import { KernelConnection } from "../../../src/runtime/deno/kernel_connection.ts";
import type { KernelSockets } from "../../../src/runtime/linux/kernel_sockets.ts";
import type { Traffic } from "../../../src/runtime/linux/traffic.ts";

/** The bytes of a short HTTP/1 response. */
const RESPONSE = 120;

const QUIET: Traffic = {
  isEstablished: true,
  written: RESPONSE,
  received: 40,
  isDelivered: true,
  sentAgo: 1_000,
  receivedAgo: 1_000,
};

/** A connection, and what was done with it. */
class Fake {
  traffic: Traffic;
  hasUnread = false;
  cookie = 7n;
  canEndSessions = false;
  readonly done: string[] = [];
  readonly client = new Client<KernelConnection>();
  readonly conn: KernelConnection;

  constructor(traffic: Partial<Traffic> = {}) {
    this.traffic = { ...QUIET, ...traffic };
    // The cast: a connection calls no other function of the kernel's sockets.
    const kernel = {
      trafficOf: () => this.traffic,
      cookieOf: () => this.cookie,
      hasUnread: () => this.hasUnread,
      endReading: () => void this.done.push("end"),
      shutdown: () => void this.done.push("shutdown"),
      sendBytes: () => void this.done.push("goaway"),
    } as unknown as KernelSockets;
    const remoteAddr = { transport: "tcp", hostname: "192.0.2.1", port: 9 } as const;
    const socket = { fd: 3, cookie: 7n };
    this.conn = new KernelConnection(socket, remoteAddr, this.client, kernel, {
      onEnding: () => {},
      endSessions: () => this.canEndSessions,
      lookAgain: () => void this.done.push("look again"),
    });
    this.client.conns.push(this.conn);
  }

  /** Makes the client known to speak HTTP/2. */
  speaksHttp2(): this {
    this.client.protocol = "http2";
    return this;
  }

  /** Closes the connection as a poll does, and returns the state and what was done. */
  poll(): readonly [string, ...string[]] {
    const state = this.conn.state();
    this.conn.closeIdle();
    return [state, ...this.done.splice(0)];
  }
}

test("KernelConnection ends between requests, and not within a head", () => {
  assertEquals(new Fake().poll(), ["idle", "end"]);
  // The part of a head has come after the response.
  assertEquals(new Fake({ sentAgo: 104, receivedAgo: 100 }).conn.state(), "active");
  assertEquals(new Fake({ sentAgo: 9_000, receivedAgo: 6_000 }).conn.state(), "idle");
  const unread = new Fake();
  unread.hasUnread = true;
  assertEquals(unread.conn.state(), "active");
});

test("KernelConnection looks again where the clock does not tell which came first", () => {
  for (const ago of [0, 4, 8]) {
    assertEquals(new Fake({ sentAgo: ago, receivedAgo: ago }).poll(), ["idle", "look again"]);
  }
  assertEquals(new Fake({ sentAgo: 12, receivedAgo: 12 }).poll(), ["idle", "end"]);
});

test("KernelConnection ends at once behind a response that is known", () => {
  const fake = new Fake({ sentAgo: 900, receivedAgo: 4 });
  fake.conn.answeredAt = performance.now();
  assertEquals(fake.poll(), ["idle", "end"]);
});

test("KernelConnection is new until Deno has written something", () => {
  assertEquals(new Fake({ written: 0, received: 0 }).poll(), ["new", "shutdown"]);
  assertEquals(new Fake({ written: 0, received: 20 }).conn.state(), "new");
  for (const written of [46, 55, 72, 89, 106]) {
    assertEquals(new Fake({ written }).conn.state(), "new", String(written));
    const answered = new Fake({ written });
    answered.conn.isHttp1 = true;
    assertEquals(answered.conn.state(), "idle");
  }
});

test("KernelConnection counts what Deno has yet to notice as active", () => {
  assertEquals(new Fake({ isEstablished: false }).conn.state(), "active");
  const closed = new Fake();
  closed.cookie = 8n;
  assertEquals([closed.conn.state(), closed.conn.isGone], ["closed", true]);
});

test("KernelConnection sends GOAWAY between two frames, and once", () => {
  assertEquals(new Fake().speaksHttp2().poll(), ["idle", "goaway"]);
  for (const busy of [{ isDelivered: false }, { sentAgo: 20 }, { receivedAgo: 20 }]) {
    assertEquals(new Fake(busy).speaksHttp2().poll(), ["idle", "look again"]);
  }
  const twice = new Fake().speaksHttp2();
  assertEquals([twice.poll(), twice.poll()], [["idle", "goaway"], ["idle"]]);
  const last = new Fake().speaksHttp2();
  last.canEndSessions = true;
  assertEquals(last.poll(), ["idle"]);
});

test("KernelConnection is active for five seconds if its protocol is not known", () => {
  for (const [receivedAgo, state] of [[4_000, "active"], [6_000, "idle"]] as const) {
    const fake = new Fake({ sentAgo: 6_000, receivedAgo });
    fake.client.protocol = "unknown";
    assertEquals(fake.conn.state(), state);
  }
  const mixed = new Fake().speaksHttp2();
  mixed.client.isMixed = true;
  mixed.client.conns.push(mixed.conn);
  assertEquals(mixed.conn.state(), "active");
});

test("KernelConnection cannot have a request that is older, or longer than what has come", () => {
  const request = new Request("http://test/path", { headers: { a: "b" } });
  const has = (traffic: Partial<Traffic>, age: number, isAnswered = false) => {
    const { conn } = new Fake(traffic);
    return conn.canHave({ request, since: performance.now() - age, isAnswered });
  };
  const young = { written: 0, received: 60, sentAgo: 100 };
  assertEquals([has(young, 100), has(young, 95), has(young, 500)], [true, true, false]);
  assertEquals(has({ ...young, received: 10 }, 100), false);
  // The response is being sent.
  assertEquals(has({ sentAgo: 0 }, 500, true), true);
});
