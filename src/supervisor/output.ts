/** The output of workers that is written line by line, each line with a prefix. */
import type { Readable, Writable } from "node:stream";

/** The number of characters after which a line without an end is written in parts. */
const LONGEST = 64 * 1024;

/** Copies the lines of a stream to another one, each with the prefix. Resolves when the stream has ended. */
export async function copyLines(from: Readable, to: Writable, prefix: string): Promise<void> {
  from.setEncoding("utf8");
  let rest = "";
  try {
    for await (const chunk of from) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop()!;
      if (rest.length > LONGEST) {
        lines.push(rest);
        rest = "";
      }
      if (lines.length > 0) to.write(lines.map((line) => `${prefix}${line}\n`).join(""));
    }
  } catch {
    // The process has ended in a way that breaks its pipe.
  }
  if (rest !== "") to.write(`${prefix}${rest}\n`);
}
