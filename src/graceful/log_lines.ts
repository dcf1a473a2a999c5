import { UpgradeError } from "../core/errors.ts";
import type { ConnInfo, ConnState } from "../core/conn.ts";
import type { Addr } from "../core/addr.ts";
import { printable, printableError } from "../core/printable.ts";
import type { GracefulEvent } from "./events.ts";
import type { GracefulReport } from "./report.ts";

/** A line of the log. */
export interface LogLine {
  readonly text: string;
  readonly color: "green" | "yellow" | "red";
  /** Whether the next line may take the place of this one on a terminal. */
  readonly isPassing: boolean;
}

/** The largest number of connections that a line names one by one. */
const MOST_NAMED = 10;
/** The number of characters after which a path is cut off. */
const LONGEST_PATH = 100;

/** Returns the line for an event; undefined for an event that the next event reports too. */
export function lineOf(event: GracefulEvent): LogLine | undefined {
  const line = (text: string, color: LogLine["color"], isPassing = false) => ({
    text,
    color,
    isPassing,
  });
  switch (event.type) {
    case "ending":
      if (event.drainDelay === 0) return undefined;
      return line(
        `${event.cause}: not ready any more, serving on for ${duration(event.drainDelay)}`,
        "yellow",
      );
    case "draining":
      return line(
        `${event.cause}: draining ${counted(event.connections)}, for ${
          duration(event.timeout)
        } at most`,
        "yellow",
      );
    case "waiting":
      return line(
        `waiting for ${counted(event.connections)}, ${duration(event.left)} left${
          oldestRequest(event.connections)
        }`,
        "yellow",
        true,
      );
    case "forced":
      return line(
        `the deadline has passed, closing by force: ${named(event.connections)}`,
        "red",
      );
    case "drained":
      return undefined;
    case "failed":
      return line(`${printable(failureOf(event.what))}: ${errorText(event.error)}`, "red");
    case "ended":
      return line(
        `${outcome(event.report)} after ${
          duration(event.elapsed)
        }, exit code ${event.report.exitCode}`,
        event.report.exitCode === 0 ? "green" : "red",
      );
    case "other-listeners":
      return line(
        `other code may end the process before the drain is done: ${
          event.listeners.map(({ signal, name }) => `${printable(name)} listens to ${signal}`).join(
            "; ",
          )
        }`,
        "yellow",
      );
    case "interrupted":
      return line(
        `${event.signal} again, ending at once with exit code ${event.exitCode}: ${
          named(event.connections)
        }`,
        "red",
      );
    case "kept-alive":
      return line(
        `${
          together(event.by)
        } still keeps the process alive, ending it with exit code ${event.exitCode}`,
        "red",
      );
  }
}

/** Returns the text of an error. The stack of an UpgradeError without a cause is left out: its message says it all. */
function errorText(error: unknown): string {
  const isPlain = error instanceof UpgradeError && error.cause === undefined;
  return printableError(isPlain ? String(error) : error);
}

function failureOf(what: string): string {
  if (what === "uncaughtException") return "uncaught exception";
  if (what === "unhandledRejection") return "unhandled rejection";
  return `${what} failed`;
}

function outcome({ forced, errors }: GracefulReport): string {
  const how = forced ? "closed by force" : "drained";
  return errors.length === 0 ? how : `${how}, with ${amount(errors.length, "error")},`;
}

/** Returns a text such as "3 connections (1 active, 2 idle)". */
function counted(connections: readonly ConnInfo[]): string {
  if (connections.length === 0) return "no connection";
  const counts = new Map<ConnState, number>();
  for (const { state } of connections) counts.set(state, (counts.get(state) ?? 0) + 1);
  const states = [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
  return `${amount(connections.length, "connection")} (${states})`;
}

function amount(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function oldestRequest(connections: readonly ConnInfo[]): string {
  const busy = connections.filter(({ requestAge }) => requestAge !== undefined);
  if (busy.length === 0) return "";
  const oldest = busy.reduce((a, b) => a.requestAge! >= b.requestAge! ? a : b);
  return `; the oldest request is ${request(oldest)}`;
}

/** Returns the names of at most {@linkcode MOST_NAMED} connections, and the number of the others. */
function named(connections: readonly ConnInfo[]): string {
  if (connections.length === 0) return "no connection is open";
  const shown = connections.slice(0, MOST_NAMED).map((conn) =>
    conn.method === undefined
      ? `${conn.state} for ${duration(conn.age)}${from(conn.remoteAddr)}`
      : request(conn)
  );
  const rest = connections.length - shown.length;
  return shown.join("; ") + (rest === 0 ? "" : `; and ${rest} more`);
}

/** Returns a text such as "GET /report for 4.2 s from 127.0.0.1". */
function request({ method, path = "", requestAge = 0, remoteAddr }: ConnInfo): string {
  return `${method} ${short(path)} for ${duration(requestAge)}${from(remoteAddr)}`;
}

function from(addr: Addr): string {
  return addr.transport === "tcp" && addr.hostname !== "" ? ` from ${addr.hostname}` : "";
}

/** Returns the path that a client has sent, cut to {@linkcode LONGEST_PATH} characters and safe for a terminal. */
function short(path: string): string {
  const cut = path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH)}…` : path;
  return printable(cut);
}

/** Returns a text such as "Timeout, 2 TCPSocketWrap". */
function together(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const all = [...counts].map(([name, count]) => count === 1 ? name : `${count} ${name}`);
  return all.join(", ") || "something";
}

function duration(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${Number((ms / 1_000).toFixed(1))} s`;
}
