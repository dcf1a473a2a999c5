/** What single engines do otherwise than the model: data, which `docs/engines.md` promises in the same words. */
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
  | "lists active connections only"
  | "calls the handlers of a pipeline at once"
  | "lists the newest request of a pipeline";
export type Exceptions = ReadonlySet<ExceptionName>;

interface Exception {
  /** Where it holds. */
  readonly on: (kind: Kind) => boolean;
  /** What is different, and why. */
  readonly what: string;
}

const EXCEPTIONS: Readonly<Record<ExceptionName, Exception>> = {
  "lists active connections only": {
    on: ({ engine }) => engine === "deno-serve",
    what: "Deno.serve shows no connection without a request.",
  },
  "calls the handlers of a pipeline at once": {
    on: ({ engine }) => engine === "node",
    what: "node:http reads on while a response is in flight. It answers in order.",
  },
  "lists the newest request of a pipeline": {
    on: ({ engine }) => engine === "node",
    what: "Only the newest response of a connection is known, which is the last to end.",
  },
};

/** Returns the exceptions that hold for a kind of server. */
export function exceptionsOf(kind: Kind): Exceptions {
  // The cast: the keys of an object are its keys.
  const names = Object.keys(EXCEPTIONS) as ExceptionName[];
  return new Set(names.filter((name) => EXCEPTIONS[name].on(kind)));
}
