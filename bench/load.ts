/**
 * The loads. The clients share the machine with the server that is measured and have to cost less than the
 * server does, so they write HTTP/1.1 by hand.
 */
import { Connection } from "./connection.ts";

/** What requests are sent. */
export type LoadName = "get" | "post" | "stream" | "connection";

/** A load. */
export interface Load {
  /** The title in tables. */
  readonly title: string;
  /** The bytes of a request. */
  readonly request: string;
  /** Whether each request has a connection of its own. */
  readonly alone: boolean;
  /** The requests of one round: few, so that whatever else the machine does strikes all servers alike. */
  readonly requests: number;
}

/** All loads, by name. */
export const LOADS: Readonly<Record<LoadName, Load>> = {
  get: {
    title: "GET, kept alive",
    request: get("/"),
    alone: false,
    requests: 1_500,
  },
  post: {
    title: "POST of 16 KiB",
    request: post(16 * 1024),
    alone: false,
    requests: 500,
  },
  stream: {
    title: "stream of 64 KiB",
    request: get("/stream"),
    alone: false,
    requests: 400,
  },
  connection: {
    title: "connection per request",
    request: get("/", "Connection: close\r\n"),
    alone: true,
    requests: 300,
  },
};

function get(path: string, more = ""): string {
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n${more}\r\n`;
}

function post(length: number): string {
  return "POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n" +
    `Content-Type: text/plain\r\nContent-Length: ${length}\r\n\r\n${"x".repeat(length)}`;
}

/** Sends requests to one server. */
export interface Client {
  /** Sends so many requests, some at a time, and resolves when each has been answered. */
  send(requests: number): Promise<void>;
  /** Closes the connections that are left. */
  close(): void;
}

/** The number of connections that are kept alive. */
const KEPT = 32;

/** The number of requests at a time, where each has its own connection. */
const AT_A_TIME = 16;

/** Makes a client of a server on this machine. */
export function clientOf({ alone, request }: Load, port: number): Client {
  if (alone) {
    return {
      send: (requests) => share(AT_A_TIME, requests, () => sendAlone(port, request)),
      close() {},
    };
  }
  const connections = Array<Connection | undefined>(KEPT).fill(undefined);
  return {
    send: (requests) =>
      share(KEPT, requests, async (sender) => {
        let connection = connections[sender];
        // Deno closes a connection after a large request.
        if (connection === undefined || connection.isOver) {
          connection = new Connection(port);
        }
        connections[sender] = connection;
        await connection.answerTo(request);
      }),
    close: () => connections.forEach((connection) => connection?.close()),
  };
}

async function sendAlone(port: number, request: string): Promise<void> {
  const connection = new Connection(port);
  await connection.answerTo(request);
  await connection.closed;
}

/** Shares requests among senders that work side by side. */
async function share(
  senders: number,
  requests: number,
  send: (sender: number) => Promise<void>,
): Promise<void> {
  let left = requests;
  const work = async (_: unknown, sender: number) => {
    while (left > 0) {
      left--;
      await send(sender);
    }
  };
  await awake(Promise.all(Array.from({ length: senders }, work)));
}

/**
 * Keeps this process from sleeping until the work is done: a server that has to wake its client up pays for
 * that, in time that varies more than all that is measured here.
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
