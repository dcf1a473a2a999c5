/** Shows the outcomes as they come, in the way that suits where the output goes. */
import process from "node:process";
import type { Outcome, Table } from "./table.ts";

/** What the outcomes are shown on. */
export interface Board {
  show(row: number, column: number, outcome: Outcome): void;
  /** All are known. */
  finish(): void;
}

/** How many lines of a terminal are for other things than the table. */
const OTHER_LINES = 10;

/** A table that fills up on a terminal, a line for each event elsewhere and the table at the end. */
export function createBoard(table: Table): Board {
  const { isTTY, columns, rows } = process.stdout;
  const fits = columns >= table.width && rows >= table.rows.length + OTHER_LINES;
  return isTTY && fits && process.env.TERM !== "dumb" ? liveBoard(table) : plainBoard(table);
}

/** Writes lines to stdout. */
export function print(...lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

function plainBoard(table: Table): Board {
  return {
    show(row, column, outcome) {
      table.set(row, column, outcome);
      print(table.event(row, column, outcome));
    },
    finish: () => print("", ...table.lines()),
  };
}

/** Draws the table over itself, with a clock below it. */
function liveBoard(table: Table): Board {
  const start = performance.now();
  let drawn = 0;
  const draw = (...below: readonly string[]) => {
    const lines = [...table.lines(), ...below];
    // Up to where the last drawing began, and clear from there.
    if (drawn > 0) process.stdout.write(`\x1b[${drawn}A\x1b[J`);
    print(...lines);
    drawn = lines.length;
  };
  const drawWithClock = () => draw("", `${Math.round(performance.now() - start)} ms after SIGTERM`);
  const ticking = setInterval(drawWithClock, 50);
  drawWithClock();
  return {
    show(row, column, outcome) {
      table.set(row, column, outcome);
      drawWithClock();
    },
    finish() {
      clearInterval(ticking);
      draw();
    },
  };
}
