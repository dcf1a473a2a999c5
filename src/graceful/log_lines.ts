import process from "node:process";
import { UpgradeError } from "../core/errors.ts";
import type { ConnInfo, ConnState } from "../core/conn.ts";
import { isBackgroundWork } from "../core/pending_work.ts";
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
/**
 * The number of ms before the deadline in which no "waiting" line is written, because the line about the
 * forced close follows at once.
 */
const LAST_MOMENT = 500;

/** The words for the resources that keep a process alive, in the singular and the plural, by the runtimes' names. */
const KEEPERS: Readonly<Record<string, readonly [one: string, several: string]>> = {
  Timeout: ["a timer", "timers"],
  TCPSocketWrap: ["a TCP connection", "TCP connections"],
  TCPServerWrap: ["a TCP listener", "TCP listeners"],
  ProcessWrap: ["a child process", "child processes"],
};

/** Returns the line for an event; undefined for an event that needs no line. */
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
        `${causeText(event.cause)}: no longer ready, still serving for ${
          duration(event.drainDelay)
        }`,
        "yellow",
      );
    case "draining":
      if (event.cause === "finished" && event.connections.length === 0) {
        return line(`${causeText(event.cause)}, no connection is left`, "yellow");
      }
      return line(
        `${causeText(event.cause)}: draining ${counted(event.connections)}, for ${
          duration(event.timeout)
        } at most`,
        "yellow",
      );
    case "waiting":
      if (event.left < LAST_MOMENT) return undefined;
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
    case "upgrade-waiting":
      return line(
        `${event.signal}: upgrading when the predecessor, process ${event.predecessor}, has drained`,
        "yellow",
      );
    case "upgrade-started":
      return line(
        `upgrading: starting "${printable(event.command.join(" "))}"${
          event.folder === undefined ? "" : ` in ${printable(event.folder)}`
        }`,
        "yellow",
      );
    case "upgrade-ready":
      return line(
        `the successor, process ${event.successor}, serves after ${duration(event.duration)}`,
        "green",
      );
    case "ended":
      return line(
        `ended after ${duration(event.elapsed)}: ${
          outcome(event.report)
        }, exit code ${event.report.exitCode}`,
        event.report.exitCode === 0 ? "green" : "red",
      );
    case "ignored":
      return line(`${event.signal} ignored: ${event.why}`, "yellow");
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
        `${event.signal} during the end, ending at once with exit code ${event.exitCode}: ${
          event.connections.length === 0 ? "" : "cutting off "
        }${named(event.connections)}`,
        "red",
      );
    case "kept-alive":
      return line(
        `${together(event.by)} still ${
          event.by.length > 1 ? "keep" : "keeps"
        } the process alive, ending it with exit code ${event.exitCode}`,
        "red",
      );
  }
}

/**
 * Returns the text of an error. The stack of an UpgradeError without a cause is left out, because its message
 * is complete.
 */
function errorText(error: unknown): string {
  const isPlain = error instanceof UpgradeError && error.cause === undefined;
  return printableError(isPlain ? String(error) : error);
}

function causeText(cause: string): string {
  return cause === "finished" ? "a server has closed by itself" : cause;
}

function failureOf(what: string): string {
  if (what === "the upgrade") return `the upgrade failed, process ${process.pid} keeps serving`;
  if (what === "uncaughtException") return "uncaught exception";
  if (what === "unhandledRejection") return "unhandled rejection";
  return `${what} failed`;
}

function outcome({ forced, servers, errors }: GracefulReport): string {
  const how = forced ? "closed by force" : closed(servers) ?? "drained";
  return errors.length === 0 ? how : `${how}, with ${amount(errors.length, "error")}`;
}

/**
 * Returns how servers ended that were closed by their `close()` or their `signal`; undefined if all servers
 * have drained.
 */
function closed(servers: GracefulReport["servers"]): string | undefined {
  const reports = servers.filter(({ reason }) => reason === "closed");
  if (reports.length === 0) return undefined;
  const cut = reports.reduce((sum, { forced }) => sum + forced, 0);
  return cut === 0 ? "closed" : `closed without a drain, cutting off ${amount(cut, "connection")}`;
}

/**
 * Returns the numbers of connections as text, such as "3 connections (1 active, 2 idle) and 1 piece of
 * background work".
 */
function counted(listed: readonly ConnInfo[]): string {
  const connections = listed.filter((info) => !isBackgroundWork(info) && info.state !== "closed");
  const works = listed.filter(isBackgroundWork).length;
  const pieces = `${works} ${works === 1 ? "piece" : "pieces"} of background work`;
  if (works === 0) return countedByState(connections);
  return connections.length === 0 ? pieces : `${countedByState(connections)} and ${pieces}`;
}

function countedByState(connections: readonly ConnInfo[]): string {
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
  return `; the oldest ${isBackgroundWork(oldest) ? "" : "request "}is ${request(oldest)}`;
}

/** Returns the names of at most {@linkcode MOST_NAMED} connections, and the number of the others. */
function named(connections: readonly ConnInfo[]): string {
  if (connections.length === 0) return "no connection is open";
  const shown = connections.slice(0, MOST_NAMED).map((conn) =>
    conn.method === undefined ? withoutRequest(conn) : request(conn)
  );
  const rest = connections.length - shown.length;
  return shown.join("; ") + (rest === 0 ? "" : `; and ${rest} more`);
}

/** Describes a connection without a request, such as "idle for 4.2 s from 127.0.0.1". */
function withoutRequest(conn: ConnInfo): string {
  if (isBackgroundWork(conn)) return `background work for ${duration(conn.age)}`;
  return `${conn.state} for ${duration(conn.age)}${from(conn.remoteAddr)}`;
}

/** Describes a request in flight, such as "GET /report for 4.2 s from 127.0.0.1". */
function request(conn: ConnInfo): string {
  const { method, path = "", requestAge = 0, remoteAddr } = conn;
  const what = `${method} ${short(path)} for ${duration(requestAge)}${from(remoteAddr)}`;
  return isBackgroundWork(conn) ? `background work of ${what}` : what;
}

function from(addr: Addr): string {
  return addr.transport === "tcp" && addr.hostname !== "" ? ` from ${addr.hostname}` : "";
}

/** Returns the path that a client has sent, cut to {@linkcode LONGEST_PATH} characters and safe for a terminal. */
function short(path: string): string {
  const cut = path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH)}…` : path;
  return printable(cut);
}

/** Lists resources as text, such as "a timer (Timeout), 2 Immediate". */
function together(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => keeper(name, count)).join(", ") || "something";
}

function keeper(name: string, count: number): string {
  const [one, several] = KEEPERS[name] ?? [];
  if (count === 1) return one === undefined ? name : `${one} (${name})`;
  return several === undefined ? `${count} ${name}` : `${count} ${several} (${name})`;
}

/** Returns a duration as text, such as "350 ms" or "4.2 s". */
export function duration(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${Number((ms / 1_000).toFixed(1))} s`;
}
