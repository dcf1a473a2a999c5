import { inspect } from "node:util";

/**
 * The characters that act on a terminal or on how a line is read, instead of being shown: the controls of
 * C0 and C1 with DEL, what turns the direction of text, and the separators of lines and paragraphs.
 */
const ACTING = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

/** Returns text for one line of a log or a terminal: what would act on it is written as its code, `\u001b`. */
export function printable(text: string): string {
  return text.replace(ACTING, escape);
}

/** Returns text of several lines, of which those after the first are indented: none can pose as a line of a log. */
export function printableLines(text: string): string {
  const [first = "", ...rest] = text.split("\n");
  const indented = rest.map((line) => line.startsWith("    ") ? line : `    ${line}`);
  return [first, ...indented].map(printable).join("\n");
}

/** Returns an error, or whatever else was thrown, with its stack, for a log or a terminal. */
export function printableError(error: unknown): string {
  return printableLines(typeof error === "string" ? error : inspect(error));
}

/** Returns whether an error, or whatever else was thrown, can be shown as it is: the console shows it better. */
export function isPrintable(error: unknown): boolean {
  const text = typeof error === "string" ? error : inspect(error);
  const message = error instanceof Error ? error.message : "";
  return !message.includes("\n") && text.split("\n").every((line) => printable(line) === line);
}

/** Returns a value as JSON that has none of these characters. They stand in its strings alone. */
export function printableJson(value: unknown): string {
  return printable(JSON.stringify(value));
}

/** Returns the escape that JSON writes for a character. */
function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
