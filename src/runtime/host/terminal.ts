/** The terminal that this process writes to. */
import process from "node:process";
import { nodeTty } from "../../core/builtins.ts";
import { deno } from "../api/deno.ts";
import { readVariable } from "./variables.ts";

/** Reports whether this process has a terminal. Once the terminal is closed, the process no longer has one. */
export function hasTerminal(): boolean {
  return [0, 1, 2].some((fd) => nodeTty().isatty(fd));
}

/** A terminal on which a line can be overwritten. */
export interface Terminal {
  /** The current width of a line, in characters. */
  readonly columns: number;
  /** Whether the user wants colors: https://no-color.org. */
  readonly hasColors: boolean;
}

/** Reports whether this process writes to a terminal, so that SIGINT most likely comes from a person's Ctrl-C. */
export function isOnTerminal(): boolean {
  return process.stdout.isTTY || process.stderr.isTTY;
}

/**
 * Returns the terminal; undefined if stderr goes elsewhere, or to a terminal without a cursor or a size.
 */
export function terminal(): Terminal | undefined {
  const { isTTY, columns } = process.stderr;
  if (!isTTY || !columns || readVariable("TERM") === "dumb") return undefined;
  return { columns, hasColors: !hasNoColor() };
}

/** Reports whether the user has turned colors off. `Deno.noColor` needs no permission to read the environment. */
function hasNoColor(): boolean {
  return "deno" in process.versions ? deno().noColor : Boolean(readVariable("NO_COLOR"));
}
