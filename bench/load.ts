/**
 * The clients: HTTP/1.1 by hand over `node:net`, because they share the machine with the server
 * that is measured and have to cost less than that does.
 */
import { connect, type Socket } from "node:net";
import { ResponseCounter } from "./response_counter.ts";

/** How requests come: over kept-alive connections, or each over a connection of its own. */
export type LoadName = "kept-alive" | "connection";

/** Sends requests to one server. */
export interface Client {
  /** Sends so many requests, some at a time, and resolves when each has been answered. */
  send(requests: number): Promise<void>;
  /** Closes what connections are left. */
  close(): void;
}

/** Connects to a server on this machine. */
export async function clientOf(load: LoadName, port: number, body: string): Promise<Client> {
  const request = requestBytes(load, body);
  if (load === "connection") return { send: (n) => sendEachAlone(port, request, n), close() {} };
  const connections = await openConnections(port, 32);
  return {
    send: (n) => sendOver(connections, request, n),
    close: () => connections.forEach((connection) => connection.close()),
  };
}

/** Opens connections that have been used once and are kept alive. Returns what closes them. */
export async function openIdle(port: number, connections: number): Promise<() => void> {
  const request = requestBytes("kept-alive", "");
  const idle = await openConnections(port, connections);
  await sendOver(idle, request, connections);
  return () => idle.forEach((connection) => connection.close());
}

/** How many requests wait for their answer at a time, where each has its own connection. */
const AT_A_TIME = 16;

/** What those who work side by side still have to send, all of them together. */
interface Budget {
  left: number;
}

async function sendOver(
  connections: readonly Connection[],
  request: string,
  requests: number,
): Promise<void> {
  const budget = { left: requests };
  await awake(Promise.all(connections.map((connection) => sendSome(connection, request, budget))));
}

async function sendSome(connection: Connection, request: string, budget: Budget): Promise<void> {
  while (budget.left > 0) {
    budget.left--;
    await connection.answerTo(request);
  }
}

async function sendEachAlone(port: number, request: string, requests: number): Promise<void> {
  const budget = { left: requests };
  const senders = Array.from({ length: AT_A_TIME }, () => sendSomeAlone(port, request, budget));
  await awake(Promise.all(senders));
}

async function sendSomeAlone(port: number, request: string, budget: Budget): Promise<void> {
  while (budget.left > 0) {
    budget.left--;
    const connection = new Connection(port);
    await connection.answerTo(request);
    await connection.closed;
  }
}

/**
 * Keeps this process from sleeping until the work is done: a server that has to wake its client up
 * pays for that, in time that varies more than all that is measured here.
 */
async function awake(work: Promise<unknown>): Promise<void> {
  let done = false;
  const spin = () => {
    if (!done) setImmediate(spin);
  };
  spin();
  try {
    await work;
  } finally {
    done = true;
  }
}

async function openConnections(port: number, count: number): Promise<Connection[]> {
  const connections: Connection[] = [];
  // One after the other: a burst could overflow the accept queue.
  while (connections.length < count) {
    const connection = new Connection(port);
    await connection.opened;
    connections.push(connection);
  }
  return connections;
}

/** One connection, with one request at a time. */
class Connection {
  readonly opened: Promise<void>;
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #answer: PromiseWithResolvers<void> | undefined;

  constructor(port: number) {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.opened = new Promise((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.once("error", reject);
    });
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    const counter = new ResponseCounter(() => this.#onAnswer());
    socket.on("data", (chunk) => counter.push(chunk.toString("latin1")));
    socket.once("close", () => {
      this.#answer?.reject(new Error("The server has closed the connection of a request"));
    });
    this.#socket = socket;
  }

  /** Sends a request and resolves with the end of its response. */
  answerTo(request: string): Promise<void> {
    this.#answer = Promise.withResolvers();
    this.#socket.write(request, "latin1");
    return this.#answer.promise;
  }

  #onAnswer(): void {
    if (this.#answer === undefined) throw new Error("A response has come without a request");
    this.#answer.resolve();
    this.#answer = undefined;
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A request as it goes over the wire. With a body it is a POST. */
function requestBytes(load: LoadName, body: string): string {
  const head = [
    `${body === "" ? "GET" : "POST"} / HTTP/1.1`,
    "Host: 127.0.0.1",
    "Accept: */*",
    "User-Agent: bench",
  ];
  if (load === "connection") head.push("Connection: close");
  if (body !== "") head.push("Content-Type: text/plain", `Content-Length: ${body.length}`);
  return head.join("\r\n") + "\r\n\r\n" + body;
}
