/** The terminal that this process writes to. */
import process from "node:process";
import { deno } from "../api/deno.ts";
import { readVariable } from "./variables.ts";

/** A terminal on which a line can be overwritten. */
export interface Terminal {
  /** How many characters a line has now. */
  readonly columns: number;
  /** Whether its user wants colours: https://no-color.org. */
  readonly hasColours: boolean;
}

/** Whether what it writes goes to one: then it is one's Ctrl-C that sends SIGINT. */
export function isOnTerminal(): boolean {
  return process.stdout.isTTY || process.stderr.isTTY;
}

/** Undefined if stderr goes elsewhere, or to a terminal that only goes forward or has no size. */
export function terminal(): Terminal | undefined {
  const { isTTY, columns } = process.stderr;
  if (!isTTY || !columns || readVariable("TERM") === "dumb") return undefined;
  return { columns, hasColours: !noColour() };
}

/** Deno tells it without the permission to read the environment. */
function noColour(): boolean {
  return "deno" in process.versions ? deno().noColor : Boolean(readVariable("NO_COLOR"));
}
