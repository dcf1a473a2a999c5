/**
 * The load of a rolling restart: clients on this machine, each with one request at a time, that
 * retry nothing and check every answer.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../until.ts";
import { connect, type RawClient, type RawResponse, request } from "../client.ts";
import { answererOf } from "./answer.ts";
import { type FailureKind, RequestFailure, RollingTally } from "./tally.ts";

/** How much load there is to be. */
export interface LoadOptions {
  readonly port: number;
  /**
   * How many clients open a connection for every request.
   *
   * @default {16}
   */
  readonly fresh?: number;
  /**
   * How many clients keep their connections alive.
   *
   * @default {16}
   */
  readonly kept?: number;
  /**
   * How many clients have requests that take about a second: a third of them upload slowly, a
   * third are answered late, a third are answered in parts.
   *
   * @default {24}
   */
  readonly slow?: number;
  /** After so many requests no further one is sent. */
  readonly maxRequests: number;
  /** After so many milliseconds no further one is sent. */
  readonly maxTime: number;
}

/** A request. */
interface Asked {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body: string;
  /** How long the client pauses in the middle of the body, in ms. */
  readonly pause: number;
}

/** How long a slow request takes, in ms: from half of that to this. */
const SLOW = 1_600;

/** How long a client that is not slow pauses between two requests at most, in ms. */
const PAUSE = 20;

/** How long a client pauses after a failure, in ms: a refusal costs nothing. */
const AFTER_FAILURE = 10;

/** How long a connection may be silent, in ms. */
const SILENCE = 10_000;

/** Clients at work. */
export class RollingLoad {
  readonly tally: RollingTally = new RollingTally();
  readonly #options: LoadOptions;
  readonly #end: number;
  readonly #clients: Promise<unknown>;
  #sent = 0;
  #stopped = false;

  /** Starts the clients. */
  constructor(options: LoadOptions) {
    this.#options = options;
    this.#end = performance.now() + options.maxTime;
    const { fresh = 16, kept = 16, slow = 24 } = options;
    this.#clients = Promise.all([
      ...times(fresh, () => this.#ask(() => quick(this.#sent), false, PAUSE)),
      ...times(kept, () => this.#ask(() => quick(this.#sent), true, PAUSE)),
      ...times(slow, (index) => this.#ask(() => slowly(this.#sent, index), true, 0)),
    ]);
    // What goes wrong with the clients themselves is told by stop().
    this.#clients.catch(() => {});
  }

  /** Resolves when it has sent so many requests. */
  async hasSent(requests: number): Promise<void> {
    await until(
      () => `Only ${this.#sent} requests were sent`,
      () => this.#sent >= requests || undefined,
    );
  }

  /** Resolves when the requests in flight are done with; no further ones are sent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#clients;
    if (this.#sent === this.tally.requests) return;
    throw new Error(`The load has miscounted: ${this.#sent} are not ${this.tally.requests}`);
  }

  #goesOn(): boolean {
    const { maxRequests } = this.#options;
    return !this.#stopped && this.#sent < maxRequests && performance.now() < this.#end;
  }

  /** One client. */
  async #ask(next: () => Asked, isKept: boolean, pause: number): Promise<void> {
    let client: RawClient | undefined;
    // Clients that start together do not ask together.
    await sleep(Math.random() * pause);
    while (this.#goesOn()) {
      this.#sent++;
      const asked = next();
      const start = performance.now();
      try {
        client ??= await open(this.#options.port);
        const response = await exchange(client, asked, isKept);
        this.tally.answer(checked(response, asked), start);
        if (response.headers["connection"]?.toLowerCase() === "close") {
          await client.closed;
          client = undefined;
        }
      } catch (error) {
        if (!(error instanceof RequestFailure)) throw error;
        this.tally.fail(error);
        client?.socket.destroy();
        client = undefined;
        await sleep(AFTER_FAILURE);
      }
      await sleep(Math.random() * pause);
    }
    client?.socket.destroy();
  }
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

/** A request that takes no time: each second one has a body. */
function quick(number: number): Asked {
  const path = `/now/${number}/0`;
  if (number % 2 === 0) return { method: "GET", path, body: "", pause: 0 };
  return { method: "POST", path, body: `body of ${number} `.repeat(50), pause: 0 };
}

/** A request that takes its time, the nth client's kind. */
function slowly(number: number, client: number): Asked {
  const ms = Math.round((1 + Math.random()) / 2 * SLOW);
  const how = (["upload", "late", "stream"] as const)[client % 3]!;
  if (how !== "upload") {
    return { method: "GET", path: `/${how}/${number}/${ms}`, body: "", pause: 0 };
  }
  const body = `slow body of ${number} `.repeat(500);
  return { method: "POST", path: `/now/${number}/0`, body, pause: ms };
}

async function open(port: number): Promise<RawClient> {
  try {
    const client = await connect({ transport: "tcp", hostname: "127.0.0.1", port });
    client.socket.setTimeout(SILENCE);
    return client;
  } catch (error) {
    throw new RequestFailure("refused", String(error));
  }
}

/** Sends a request, and resolves with its response. */
async function exchange(client: RawClient, asked: Asked, isKept: boolean): Promise<RawResponse> {
  const { method, path, body, pause } = asked;
  let isLate = false;
  const onTimeout = () => {
    isLate = true;
    client.socket.destroy();
  };
  client.socket.on("timeout", onTimeout);
  const headers = [
    ...(isKept ? [] : ["Connection: close"]),
    ...(body === "" ? [] : [`Content-Length: ${body.length}`]),
  ];
  const half = pause === 0 ? body.length : body.length >> 1;
  try {
    client.write(request(`${method} ${path}`, ...headers) + body.slice(0, half));
    if (pause > 0) {
      await sleep(pause);
      client.write(body.slice(half));
    }
    return await client.response();
  } catch (error) {
    const end = await client.closed;
    const kind: FailureKind = isLate ? "timeout" : end === "reset" ? "reset" : "closed";
    throw new RequestFailure(kind, `${method} ${path}: ${error}`);
  } finally {
    client.socket.off("timeout", onTimeout);
  }
}

/** Who has answered. */
function checked({ status, body: text }: RawResponse, { method, path, body }: Asked) {
  if (status !== 200) {
    throw new RequestFailure(`${status}`, `${method} ${path}: ${status} ${text.slice(0, 100)}`);
  }
  const answerer = answererOf(text, method, path, body);
  if (answerer !== undefined) return answerer;
  throw new RequestFailure("wrong", `${method} ${path}: ${text.slice(0, 200)}`);
}
