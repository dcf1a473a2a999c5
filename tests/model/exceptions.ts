/** What single engines do otherwise than the model: data, which `docs/engines.md` lists in the same words. */
import type { Runtime } from "../../support/runtimes.ts";

/** A kind of server that schedules are tried on. */
export interface Kind {
  readonly runtime: Runtime | "go";
  readonly engine: "node" | "deno" | "deno-serve" | "bun" | "go";
  readonly via: "serve" | "adopt";
  readonly transport: "tcp" | "tls" | "unix";
}

/** The name of an exception, which says what the engine does. */
export type ExceptionName =
  | "shows connections with a request only"
  | "calls the handlers of a pipeline at once"
  | "lists the newest request of a pipeline"
  | "takes half a head behind an upload for silence"
  | "does not see handlers whose client has left"
  | "calls handlers behind the last response"
  | "takes the first half a head for silence"
  | "may take half a head for silence"
  | "lists half a head as idle"
  | "closes a connection whose next request comes early"
  | "does not say close to a client that has said it"
  | "counts open connections only"
  | "tells late that it has stopped"
  | "polls only while a call waits"
  | "knows no idleGrace"
  | "takes the next half a head for silence"
  | "may count open connections only"
  | "may say 100 behind the last response"
  | "refuses what comes behind a request that says close"
  | "may answer 503 at a close"
  | "has no WebSockets"
  | "tells the owner of upgrades that are refused"
  | "ends a WebSocket behind its close frame"
  | "counts requests"
  | "may not notice half a head that came with a request"
  | "may close behind an upload"
  | "may answer a client that has ended its side";
export type Exceptions = ReadonlySet<ExceptionName>;

interface Exception {
  /** The name of the engine, or of several, as the page has it. */
  readonly who: string;
  /** Where it holds. */
  readonly on: (kind: Kind) => boolean;
  /** What is different, and why. */
  readonly what: string;
}

const EXCEPTIONS: Readonly<Record<ExceptionName, Exception>> = {
  "shows connections with a request only": {
    who: "`deno-serve`",
    on: ({ engine }) => engine === "deno-serve",
    what: "Deno.serve shows no connection without a request, and closes those when it stops.",
  },
  "calls the handlers of a pipeline at once": {
    who: "`node`",
    on: ({ engine }) => engine === "node",
    what: "node:http reads on while a response is in flight. It answers in order.",
  },
  "lists the newest request of a pipeline": {
    who: "`node`",
    on: ({ engine }) => engine === "node",
    what: "Only the newest response of a connection is known, which is the last to end.",
  },
  "takes half a head behind an upload for silence": {
    who: "`node`",
    on: ({ engine, via }) => engine === "node" && via === "serve",
    what: "What node:http has read does not tell the end of a body from the start of a head.",
  },
  "does not see handlers whose client has left": {
    who: "`adopt`",
    on: ({ via }) => via === "adopt",
    what: "The handlers belong to the owner of the server, who can give them to waitUntil.",
  },
  "calls handlers behind the last response": {
    who: "`adopt`",
    on: ({ via }) => via === "adopt",
    what: "The owner's listener hears of each request. Its response is not sent.",
  },
  "takes the first half a head for silence": {
    who: "`deno`",
    on: ({ engine }) => engine === "deno" || engine === "go",
    what: "As in Go, a connection is new until it has received a head in full.",
  },
  "may take half a head for silence": {
    who: "`deno`",
    on: ({ engine }) => engine === "deno",
    what: "The clock of the kernel does not always tell half a head from the request before it.",
  },
  "lists half a head as idle": {
    who: "`bun`",
    on: ({ engine }) => engine === "bun",
    what: "Neither Bun nor the kernel tells half a head from silence. It is served all the same.",
  },
  "closes a connection whose next request comes early": {
    who: "`bun`",
    on: ({ engine }) => engine === "bun",
    what: "Bun closes a connection when a request comes before the one before it is answered.",
  },
  "does not say close to a client that has said it": {
    who: "`bun`",
    on: ({ engine }) => engine === "bun",
    what: "Bun closes the connection without a word, as its client expects.",
  },
  "counts open connections only": {
    who: "`bun`",
    on: ({ engine }) => engine === "bun",
    what: "A connection is counted when it is gone, though its handler is waited for and listed.",
  },
  "tells late that it has stopped": {
    who: "`deno-serve`",
    on: ({ engine }) => engine === "deno-serve",
    what: "The promise of Deno's stop takes some 20 ms, which a short deadline may not have.",
  },
  "polls only while a call waits": {
    who: "Go",
    on: ({ engine }) => engine === "go",
    what: "In Go a Shutdown that has failed is over. Here the drain goes on.",
  },
  "knows no idleGrace": {
    who: "Go",
    on: ({ engine }) => engine === "go",
    what: "Go closes idle connections at the first poll.",
  },
  "takes the next half a head for silence": {
    who: "Go",
    on: ({ engine }) => engine === "go",
    what: "In Go a connection is idle until it has received the head of the next request in full.",
  },
  "may count open connections only": {
    who: "`deno`",
    on: ({ engine }) => engine === "deno",
    what:
      "With the kernel's help a connection may be counted when it is gone, before its handler ends.",
  },
  "may say 100 behind the last response": {
    who: "`deno`, `deno-serve`",
    on: ({ runtime, engine }) => runtime === "deno" && engine !== "node",
    what:
      "What comes behind the last response is read, which is when Deno says 100. It is not processed.",
  },
  "refuses what comes behind a request that says close": {
    who: "`node`",
    on: ({ engine }) => engine === "node",
    what: "node:http answers 400 and ends the connection. The response in flight is lost.",
  },
  "may answer 503 at a close": {
    who: "`deno-serve`",
    on: ({ engine }) => engine === "deno-serve",
    what: "Deno.serve cuts no connection off whose handler has not answered, so it is answered.",
  },
  "has no WebSockets": {
    who: "`node`",
    on: ({ engine, via }) => engine === "go" || engine === "node" && via === "serve",
    what: "A request cannot be upgraded on this engine. Adopted servers can, with the package ws.",
  },
  "tells the owner of upgrades that are refused": {
    who: "`adopt`",
    on: ({ via }) => via === "adopt",
    what: "The owner's listener gets a socket that has ended.",
  },
  "ends a WebSocket behind its close frame": {
    who: "`bun`",
    on: ({ engine }) => engine === "bun",
    what: "Bun does not wait for the close frame of the client.",
  },
  "counts requests": {
    who: "`deno-serve`",
    on: ({ engine }) => engine === "deno-serve",
    what: "Deno.serve does not tell which connection a request has come on.",
  },
  "may not notice half a head that came with a request": {
    who: "`node`",
    on: ({ engine }) => engine === "node",
    what:
      "What node:http has read does not tell whose bytes came in one packet. It then counts as idle.",
  },
  "may close behind an upload": {
    who: "`deno`, `deno-serve`",
    on: ({ runtime, engine }) => runtime === "deno" && engine !== "node",
    what: "Deno ends the connection of an upload that came behind its head, and says so.",
  },
  "may answer a client that has ended its side": {
    who: "`deno`, `deno-serve`",
    on: ({ runtime, engine }) => engine === "go" || runtime === "deno" && engine !== "node",
    what: "Deno tells the handler that its client has left, and sends the answer all the same.",
  },
};

/** Returns the exceptions that hold for a kind of server. */
export function exceptionsOf(kind: Kind): Exceptions {
  // The cast: the keys of an object are its keys.
  const names = Object.keys(EXCEPTIONS) as ExceptionName[];
  return new Set(names.filter((name) => EXCEPTIONS[name].on(kind)));
}

/** The exceptions as `docs/engines.md` lists them: those of Go are not ours. */
export function listOfExceptions(): string[] {
  return Object.entries(EXCEPTIONS).filter(([, { who }]) => who !== "Go")
    .map(([name, { who, what }]) => `${who} ${name}. ${what}`).sort();
}
