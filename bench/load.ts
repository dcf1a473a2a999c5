/**
 * The client: HTTP/1.1 by hand over `node:net`, because it shares the machine with the server that
 * is measured and has to cost less than that does.
 */
import { connect, type Socket } from "node:net";
import { ResponseCounter } from "./response_counter.ts";

/** How requests come: over kept-alive connections, or each over a connection of its own. */
export type LoadName = "kept-alive" | "connection";

/** A number of requests to be sent to one server. */
export interface Load {
  readonly name: LoadName;
  readonly port: number;
  /** One request as it goes over the wire: see {@linkcode requestBytes}. */
  readonly request: string;
  /** How many requests in all. */
  readonly requests: number;
  /** How many of them at a time. */
  readonly concurrency: number;
}

/** Sends the load and resolves when each of its requests has been answered. */
export async function send(load: Load): Promise<void> {
  const budget = { left: load.requests };
  const sendSome = load.name === "kept-alive" ? sendOverOne : sendOverMany;
  await Promise.all(Array.from({ length: load.concurrency }, () => sendSome(load, budget)));
}

/** What the connections of one load still have to send, all of them together. */
interface Budget {
  left: number;
}

/** Takes requests from the budget, one after the other, over one connection. */
function sendOverOne({ port, request }: Load, budget: Budget): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = open(port, reject);
    const next = () => {
      if (budget.left > 0) {
        budget.left--;
        socket.write(request, "latin1");
      } else {
        socket.removeAllListeners("close").destroy();
        resolve();
      }
    };
    count(socket, next, reject);
    socket.once("close", () => reject(new Error("The server has closed a kept-alive connection")));
    socket.once("connect", next);
  });
}

/** Takes requests from the budget, one after the other, each over a connection of its own. */
async function sendOverMany({ port, request }: Load, budget: Budget): Promise<void> {
  while (budget.left > 0) {
    budget.left--;
    await sendAlone(port, request);
  }
}

/** Resolves when the request is answered and the server has closed, as it was asked to. */
function sendAlone(port: number, request: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = open(port, reject);
    let answers = 0;
    count(socket, () => answers++, reject);
    socket.once("close", () => {
      if (answers === 1) resolve();
      else reject(new Error(`A request was answered ${answers} times`));
    });
    socket.write(request, "latin1");
  });
}

/** Opens connections that have been used once and are kept alive. Returns what closes them. */
export async function openIdle(
  port: number,
  request: string,
  connections: number,
): Promise<() => void> {
  const sockets: Socket[] = [];
  // One after the other: a burst could overflow the accept queue.
  while (sockets.length < connections) sockets.push(await openUsed(port, request));
  return () => sockets.forEach((socket) => socket.destroy());
}

function openUsed(port: number, request: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = open(port, reject);
    count(socket, () => resolve(socket), reject);
    socket.write(request, "latin1");
  });
}

function open(port: number, onError: (error: Error) => void): Socket {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  socket.once("error", onError);
  return socket;
}

function count(socket: Socket, onResponse: () => void, onError: (error: unknown) => void): void {
  const counter = new ResponseCounter(onResponse);
  socket.on("data", (chunk) => {
    try {
      counter.push(chunk.toString("latin1"));
    } catch (error) {
      socket.destroy();
      onError(error);
    }
  });
}

/** A request as it goes over the wire. With a body it is a POST. */
export function requestBytes(load: LoadName, body: string): string {
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
