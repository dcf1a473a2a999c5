import { nodeUtil } from "./builtins.ts";

/**
 * The characters that act on a terminal or change how a line is read, instead of being shown: the control
 * characters of C0 and C1 with DEL, the characters that change the direction of text, and the separators of
 * lines and paragraphs.
 */
const ACTING = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

/**
 * Returns text for one line of a log or a terminal. Characters that would act on the terminal are escaped,
 * as `\u001b` is.
 */
export function printable(text: string): string {
  return text.replace(ACTING, escape);
}

/**
 * Returns text of several lines for a log. Lines after the first are indented, so that none of them can
 * pose as a line of the log.
 */
export function printableLines(text: string): string {
  const [first = "", ...rest] = text.split("\n");
  const indented = rest.map((line) => line.startsWith("    ") ? line : `    ${line}`);
  return [first, ...indented].map(printable).join("\n");
}

/** Returns the text of an error or of another thrown value, with its stack, for a log or a terminal. */
export function printableError(error: unknown): string {
  return printableLines(typeof error === "string" ? error : nodeUtil().inspect(error));
}

/**
 * Reports whether an error or another thrown value can be shown unchanged. The console formats such a value
 * better than text.
 */
export function isPrintable(error: unknown): boolean {
  const text = typeof error === "string" ? error : nodeUtil().inspect(error);
  const message = error instanceof Error ? error.message : "";
  return !message.includes("\n") && text.split("\n").every((line) => printable(line) === line);
}

/**
 * Returns a value as JSON without characters that act on a terminal. In JSON such characters occur only in
 * strings, where an escape is valid.
 */
export function printableJson(value: unknown): string {
  return printable(JSON.stringify(value));
}

/** Returns the escape that JSON writes for a character. */
function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
