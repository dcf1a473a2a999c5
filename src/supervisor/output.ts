/** The output of workers that is written line by line, each line with a prefix. */
import process from "node:process";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** The number of characters after which a line without an end is written in parts. */
const LONGEST = 64 * 1024;
/** The number of milliseconds for which a reader of the output is waited for before more is written. */
const PATIENCE = 1_000;

/** The output of this process, for the lines of workers. */
export class PrefixedOutput {
  readonly #streams: readonly Writable[] = [process.stdout, process.stderr];
  /** Nobody may read the output any more, which must not end the service. */
  readonly #ignore = () => {};

  constructor() {
    for (const stream of this.#streams) stream.on("error", this.#ignore);
  }

  /**
   * Copies the lines of a worker's stdout and stderr, each with the prefix. Resolves when both have ended. While the
   * output is not read, the streams are not read either, so that the worker waits.
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
    // The process has ended in a way that breaks its pipe.
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
