import { styleText } from "node:util";

/** How the connections of one client to one server have ended. */
export interface Outcome {
  readonly how: "answered" | "closed" | "refused" | "cut" | "lost";
  /** In a word or two. */
  readonly text: string;
  /** What went wrong. */
  readonly error?: string;
  /** Milliseconds after the signal. */
  readonly ms: number;
}

const colors = {
  answered: "green",
  closed: "green",
  refused: "green",
  cut: "yellow",
  lost: "red",
} as const;

const TEXT = 13;
const TIME = 7;
const GAP = "  ";

/** The outcomes: a row for each client, a column for each server. */
export class Table {
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  readonly #cells: (Outcome | undefined)[][];

  constructor(rows: readonly string[], columns: readonly string[]) {
    this.rows = padded(rows);
    this.columns = padded(columns);
    this.#cells = rows.map(() => columns.map(() => undefined));
  }

  /** In characters. */
  get width(): number {
    return this.rows[0]!.length + this.columns.length * (GAP.length + TEXT + TIME);
  }

  set(row: number, column: number, outcome: Outcome): void {
    this.#cells[row]![column] = outcome;
  }

  lines(): string[] {
    const names = this.columns.map((name) => GAP + name.padEnd(TEXT + TIME));
    const head = " ".repeat(this.rows[0]!.length) + names.join("").trimEnd();
    const body = this.rows.map((name, row) =>
      name + this.#cells[row]!.map((outcome) => GAP + cell(outcome)).join("")
    );
    return [styleText("bold", head), ...body];
  }

  /** One outcome as a line of its own. */
  event(row: number, column: number, outcome: Outcome): string {
    const where = `${this.columns[column]}${GAP}${this.rows[row]}`;
    const error = outcome.error === undefined ? "" : `: ${outcome.error}`;
    return `${time(outcome)}${GAP}${where}${GAP}${text(outcome)}${error}`;
  }
}

function cell(outcome: Outcome | undefined): string {
  if (outcome === undefined) return styleText("dim", "…".padEnd(TEXT + TIME));
  return text(outcome, TEXT) + time(outcome);
}

function text({ how, text }: Outcome, width = 0): string {
  return styleText(colors[how], text.padEnd(width));
}

function time({ ms }: Outcome): string {
  return `${Math.round(ms)} ms`.padStart(TIME);
}

function padded(texts: readonly string[]): string[] {
  const width = Math.max(...texts.map((text) => text.length));
  return texts.map((text) => text.padEnd(width));
}
