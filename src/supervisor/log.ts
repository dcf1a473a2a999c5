import { shownAddr } from "../core/addr.ts";
import { printableError } from "../core/printable.ts";
import { writeLine } from "../graceful/log.ts";
import { duration, type LogLine } from "../graceful/log_lines.ts";
import type { SupervisorEvent, WorkerName } from "./events.ts";

const PREFIX = "supervisor: ";

/** Writes an event to stderr, on one line. */
export function logToStderr(event: SupervisorEvent): void {
  const [text, color] = lineOf(event);
  writeLine(PREFIX, { text, color, isPassing: false });
}

function lineOf(event: SupervisorEvent): [text: string, color: LogLine["color"]] {
  switch (event.type) {
    case "occupied":
      return [`${shownAddr(event.addr)} is in use, waiting for 2 s at most`, "yellow"];
    case "listening":
      return [listeningText(event), "green"];
    case "started":
      return [`${nameOf(event)} was started (generation ${event.generation})`, "green"];
    case "ready":
      return [
        `${nameOf(event)} is ready after ${duration(event.duration)}${
          event.hasSaid ? "" : ", although it has not said so"
        }`,
        "green",
      ];
    case "late":
      return [
        `${nameOf(event)} has not said that it is ready within ${
          duration(event.readyTimeout)
        }, killing it`,
        "red",
      ];
    case "serving":
      return [`generation ${event.generation} serves, with ${workers(event.workers)}`, "green"];
    case "reloading":
      return [`generation ${event.generation} starts`, "yellow"];
    case "queued":
      return [
        `generation ${event.generation} will start when the one under way serves or has failed`,
        "yellow",
      ];
    case "failed":
      return [
        `generation ${event.generation} has failed: ${event.why}. Generation ${event.serving} keeps serving`,
        "red",
      ];
    case "ended":
      return [endedText(event), event.isExpected ? "yellow" : "red"];
    case "restarting":
      return [
        `worker ${event.worker} will be replaced in ${duration(event.pause)}`,
        "yellow",
      ];
    case "looping":
      return [
        `worker ${event.worker} is the last of several in a row that have ended early: giving up with ` +
        `code ${event.exitCode}`,
        "red",
      ];
    case "resized":
      return [`the number of workers is now ${event.workers}`, "yellow"];
    case "stopping":
      return [`${event.cause}: telling the workers to end`, "yellow"];
    case "forcing":
      return [`${event.signal} is sent to the workers that are left`, "red"];
    case "stopped":
      return [
        `all workers have ended, exit code ${event.exitCode}`,
        event.exitCode === 0 ? "green" : "red",
      ];
    case "error":
      return [`${event.what} failed: ${printableError(event.error)}`, "red"];
  }
}

function listeningText(
  { listeners, health }: SupervisorEvent & { type: "listening" },
): string {
  const addresses = listeners.map(shownAddr).join(", ");
  const text = addresses === "" ? "there is no listener to pass on" : `listening on ${addresses}`;
  return health === undefined ? text : `${text}; health on ${shownAddr(health)}`;
}

function endedText(event: SupervisorEvent & { type: "ended" }): string {
  const { code, signal, isExpected, error } = event;
  if (error !== undefined) return `${nameOf(event)} could not be started: ${String(error)}`;
  const how = signal === null ? `has ended with code ${code}` : `was ended by ${signal}`;
  const hint = code === 127 && !isExpected ? ": is its program in PATH?" : "";
  return `${nameOf(event)} ${how}${isExpected ? ", as it was told" : ""}${hint}`;
}

function nameOf({ worker, pid }: WorkerName): string {
  return pid === undefined ? `worker ${worker}` : `worker ${worker} (process ${pid})`;
}

function workers(count: number): string {
  return count === 1 ? "1 worker" : `${count} workers`;
}
