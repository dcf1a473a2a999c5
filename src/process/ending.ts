/** Why this process ends, from when that is decided: for what has to know before the servers drain. */

/** One for each call of `graceful` that has decided it. */
const decided = new Set<{ readonly cause: string }>();

/** What was given to the first {@linkcode decideEnd} that stands; undefined while there is none. */
export function endOfProcess(): string | undefined {
  const [first] = decided;
  return first?.cause;
}

/**
 * To be called when the end is decided, before anything else is done about it. What it returns takes
 * it back, for a process that lives on.
 */
export function decideEnd(cause: string): () => void {
  const end = { cause };
  decided.add(end);
  return () => void decided.delete(end);
}
