import process from "node:process";
import { setImmediate } from "node:timers";
import { nodeUtil } from "../core/builtins.ts";
import { printableLines } from "../core/printable.ts";
import { ofProcess } from "../core/process_state.ts";
import { type Terminal, terminal } from "../runtime/host/terminal.ts";
import type { GracefulEvent } from "./events.ts";
import { lineOf, type LogLine } from "./log_lines.ts";

const PREFIX = "graceful: ";
/** The escape sequence that erases the line and goes back to its start (ECMA-48: CR, EL 2). */
const ERASE_LINE = "\r\x1b[2K";

/** The state of stderr as this module knows it. */
interface LogState {
  /** Whether the last line on the terminal is a passing line, which the next line overwrites. */
  hasPassingLine: boolean;
  /** The number of writes that stderr has not finished. */
  unfinished: number;
}

const newState = (): LogState => ({ hasPassingLine: false, unfinished: 0 });

/** Writes an event to stderr. */
export function logToStderr(event: GracefulEvent): void {
  const line = lineOf(event);
  if (line !== undefined) writeLine(PREFIX, line);
}

/** Writes a line to stderr, after a prefix. On a terminal, passing lines are redrawn in place. */
export function writeLine(prefix: string, line: LogLine): void {
  const screen = terminal();
  const state = ofProcess(newState);
  const erase = state.hasPassingLine ? ERASE_LINE : "";
  state.hasPassingLine = screen !== undefined && line.isPassing;
  write(erase + prefix + written(line, screen, prefix.length) + (state.hasPassingLine ? "" : "\n"));
}

/**
 * Writes to stderr. Failures are ignored: a log that nobody reads any more, or a full disk, must not crash the
 * process.
 */
function write(text: string): void {
  const { stderr } = process;
  const state = ofProcess(newState);
  if (state.unfinished === 0) stderr.on("error", ignore);
  state.unfinished++;
  const finish = () => {
    state.unfinished--;
    if (state.unfinished === 0) stderr.off("error", ignore);
  };
  try {
    stderr.write(text, (error) => {
      // After an error, the stream still emits "error".
      if (error) setImmediate(finish);
      else finish();
    });
  } catch {
    // Deno throws instead of emitting "error".
    finish();
  }
}

function ignore(): void {}

/** Returns the text of a line as the terminal shows it, after a prefix of so many columns. */
function written(line: LogLine, screen: Terminal | undefined, indent: number): string {
  const text = printableLines(line.text);
  if (screen === undefined) return text;
  // ERASE_LINE erases one row, so a passing line must not wrap.
  const shown = line.isPassing ? text.slice(0, Math.max(0, screen.columns - indent - 1)) : text;
  // `terminal` decides about colors, since Deno can tell there without a permission.
  return screen.hasColors
    ? nodeUtil().styleText(line.color, shown, { validateStream: false })
    : shown;
}
