/** The clients: what each kind of connection is in the middle of when the signal comes. */
import type { Buffer } from "node:buffer";
import { setTimeout as sleep } from "node:timers/promises";
import { Connection, type Head } from "./connection.ts";

/** The deadline that server.ts gives to `graceful`, in ms. */
export const DEADLINE = 3_000;

/** How much too early a timer may be, in ms. */
const TIMER_SLACK = 5;

/** How the connections of a client have ended. What was lost is thrown instead. */
export interface Ending {
  readonly how: "answered" | "closed" | "refused" | "cut";
  readonly text: string;
}

/** What a client does from the signal on, until its connections are gone. */
export type Play = (drain: Drain) => Promise<Ending>;

/** One kind of connection. */
export interface Client {
  readonly name: string;
  /** How many connections it opens before the signal. */
  readonly connections: number;
  /** Brings them to where they are when the signal comes. */
  open(port: number): Promise<Play>;
}

/** The drain of one server, as its clients see it. To be made right before the signal. */
export class Drain {
  readonly #start = performance.now();
  readonly #noticed = Promise.withResolvers<void>();

  /** Milliseconds since the signal. */
  get elapsed(): number {
    return performance.now() - this.#start;
  }

  /** To be called by the client that sees the drain begin. */
  notice(): void {
    this.#noticed.resolve();
  }

  /** So many milliseconds after the signal, but not before the drain has begun. */
  async reaches(ms: number): Promise<void> {
    await this.#noticed.promise;
    if (ms > this.elapsed) await sleep(ms - this.elapsed);
  }
}

/**
 * The kinds of connections, in the order of their ends.
 *
 * They are opened from the last to the first: a server accepts in that order, so that it has
 * accepted all of them when the idle ones have had their answers.
 */
export const clients: readonly Client[] = [
  { name: "idle, kept alive (3 connections)", connections: 3, open: idle },
  { name: "endless stream, heeds draining", connections: 1, open: endless },
  { name: "new connection, tried at 200 ms", connections: 0, open: late },
  { name: "new, silent until 400 ms", connections: 1, open: silent },
  { name: "half a head, the rest at 600 ms", connections: 1, open: halfHead },
  { name: "half an upload, the rest at 800 ms", connections: 1, open: halfUpload },
  { name: "chunked upload, the rest at 1 s", connections: 1, open: chunkedUpload },
  { name: "slow handler, 1.2 s", connections: 1, open: slowHandler },
  { name: "streamed response, 1.4 s", connections: 1, open: stream },
  { name: "slow reader of 24 MiB, 1.7 s", connections: 1, open: slowReader },
  { name: "stuck handler, never answers", connections: 1, open: stuck },
];

async function idle(port: number): Promise<Play> {
  const connections = await Promise.all([1, 2, 3].map(async () => {
    const { connection, head } = await begin(port, "/hello");
    expect(await connection.text(head), "hello");
    return connection;
  }));
  return async (drain) => {
    const closed = connections.map((connection) => connection.closed());
    await Promise.all(closed).finally(() => drain.notice());
    return { how: "closed", text: "closed" };
  };
}

async function endless(port: number): Promise<Play> {
  const { connection, head } = await begin(port, "/endless");
  return async () => {
    const text = await connection.text(head);
    const count = text.split("\n").length - 1;
    expect(text, lines(Math.max(1, count)));
    await connection.closed();
    return { how: "answered", text: `200 ${count} ${count === 1 ? "line" : "lines"}` };
  };
}

function late(port: number): Promise<Play> {
  return Promise.resolve(async (drain) => {
    await drain.reaches(200);
    const refusal = await Connection.open(port).catch((error: unknown) => error);
    if (refusal instanceof Connection) {
      refusal.destroy();
      throw new Error("accepted");
    }
    if (!isRefusal(refusal)) throw refusal;
    return { how: "refused", text: "refused" };
  });
}

async function silent(port: number): Promise<Play> {
  const connection = await Connection.open(port);
  return async (drain) => {
    await drain.reaches(400);
    connection.send(get("/hello"));
    return await lastAnswer(connection, "hello");
  };
}

async function halfHead(port: number): Promise<Play> {
  const connection = await Connection.open(port);
  const request = get("/hello");
  connection.send(request.slice(0, 20));
  return async (drain) => {
    await drain.reaches(600);
    connection.send(request.slice(20));
    return await lastAnswer(connection, "hello");
  };
}

async function halfUpload(port: number): Promise<Play> {
  const connection = await Connection.open(port);
  const half = "x".repeat(32_768);
  connection.send(post("Content-Length: 65536"), half);
  return async (drain) => {
    await drain.reaches(800);
    connection.send(half);
    return await lastAnswer(connection, "65536 B");
  };
}

async function chunkedUpload(port: number): Promise<Play> {
  const connection = await Connection.open(port);
  const chunk = `4000\r\n${"x".repeat(0x4000)}\r\n`;
  connection.send(post("Transfer-Encoding: chunked"), chunk, chunk.slice(0, 9_999));
  return async (drain) => {
    await drain.reaches(1_000);
    connection.send(chunk.slice(9_999), chunk, chunk, "0\r\n\r\n");
    return await lastAnswer(connection, "65536 B");
  };
}

async function slowHandler(port: number): Promise<Play> {
  const connection = await Connection.open(port);
  connection.send(get("/slow"));
  return () => lastAnswer(connection, "done");
}

async function stream(port: number): Promise<Play> {
  const { connection, head } = await begin(port, "/stream");
  return async () => {
    expect(await connection.text(head), lines(15));
    await connection.closed();
    return { how: "answered", text: "200 15 lines" };
  };
}

/** Far more than fits the buffers of both sockets: most of it is still in the server's memory. */
async function slowReader(port: number): Promise<Play> {
  const size = 24 * 1024 * 1024;
  const { connection, head } = await begin(port, "/large");
  return async (drain) => {
    const read = await readOver(1_700, connection.body(head), size, drain);
    if (read !== size) throw new Error(`${read} bytes instead of ${size}`);
    await connection.closed();
    return { how: "answered", text: "200 24 MiB" };
  };
}

async function stuck(port: number): Promise<Play> {
  const connection = await Connection.open(port);
  connection.send(get("/stuck"));
  return async (drain) => {
    await connection.closed(2 * DEADLINE).catch((error: unknown) => {
      if (!isReset(error)) throw error;
    });
    if (drain.elapsed < DEADLINE - TIMER_SLACK) throw new Error("closed before the deadline");
    return { how: "cut", text: "cut" };
  };
}

/** Sends a request and reads the head of its response. */
async function begin(port: number, path: string): Promise<{ connection: Connection; head: Head }> {
  const connection = await Connection.open(port);
  connection.send(get(path));
  const head = await connection.head();
  expect(`${head.status}`, "200");
  return { connection, head };
}

/** Reads a body of a known size at an even pace, and tells how much came. */
async function readOver(
  ms: number,
  body: AsyncIterable<Buffer>,
  size: number,
  drain: Drain,
): Promise<number> {
  let read = 0;
  for await (const part of body) {
    read += part.length;
    await drain.reaches(ms * read / size);
  }
  return read;
}

/** A response of which every byte was sent during the drain, and the end of its connection. */
async function lastAnswer(connection: Connection, body: string): Promise<Ending> {
  const head = await connection.head();
  const text = await connection.text(head);
  expect(`${head.status}, ${text}`, `200, ${body}`);
  expect(`Connection: ${head.headers.get("connection")}`, "Connection: close");
  await connection.closed();
  return { how: "answered", text: `200 ${text}` };
}

function expect(actual: string, expected: string): void {
  if (actual !== expected) throw new Error(`${actual.trim()} instead of ${expected.trim()}`);
}

/** The first lines that server.ts streams. */
function lines(count: number): string {
  return Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join("");
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: demo\r\n\r\n`;
}

function post(length: string): string {
  return `POST /upload HTTP/1.1\r\nHost: demo\r\n${length}\r\n\r\n`;
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ECONNREFUSED";
}

function isReset(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ECONNRESET";
}
