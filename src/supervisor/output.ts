/** The output of workers, written line by line with a prefix before each line. */
import process from "node:process";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** The number of characters after which a line without an end is written in parts. */
const LONGEST = 64 * 1024;
/** The number of milliseconds to wait for a slow reader of the output before more is written. */
const PATIENCE = 1_000;

/** The output of this process, for the lines of workers. */
export class PrefixedOutput {
  readonly #streams: readonly Writable[] = [process.stdout, process.stderr];
  /** The listener for errors of the output. The service must not end when the reader of its output is gone. */
  readonly #ignore = () => {};

  constructor() {
    for (const stream of this.#streams) stream.on("error", this.#ignore);
  }

  /**
   * Copies the lines of a worker's stdout and stderr, each with the prefix. Resolves when both have ended. While
   * nobody reads the output, the streams are not read either, so that the worker waits.
   */
  async copy(streams: readonly (Readable | null | undefined)[], prefix: string): Promise<void> {
    await Promise.all(streams.map(async (from, index) => {
      if (from) await copyLines(from, this.#streams[index]!, prefix);
    }));
  }

  end(): void {
    for (const stream of this.#streams) stream.off("error", this.#ignore);
  }
}

async function copyLines(from: Readable, to: Writable, prefix: string): Promise<void> {
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
      if (lines.length > 0) await write(to, lines.map((line) => `${prefix}${line}\n`).join(""));
    }
  } catch {
    // The pipe has broken, because the process has ended.
  }
  if (rest !== "") await write(to, `${prefix}${rest}\n`);
}

/** Writes, and waits until the text is written. */
async function write(to: Writable, text: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  try {
    to.write(text, () => resolve());
  } catch {
    // Deno throws where other runtimes emit "error".
    return;
  }
  const limit = new AbortController();
  const late = sleep(PATIENCE, undefined, { signal: limit.signal }).catch(() => {});
  await Promise.race([promise, late]);
  limit.abort();
}
