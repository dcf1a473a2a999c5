import { ofProcess } from "../core/process_state.ts";
import process from "node:process";
import type { EventSink } from "./events.ts";
import { isOwnListener } from "./signals.ts";

/** The listeners that have been reported. */
const newReported = () => new WeakSet<object>();

/** The number of characters that are shown of the source text of a function without a name. */
const EXCERPT = 60;

/**
 * Reports the listeners of these signals that do not belong to this module, each listener once. A library that
 * ends the process at the signal would do so in the middle of the drain.
 */
export function reportOtherListeners(signals: readonly NodeJS.Signals[], events: EventSink): void {
  const reported = ofProcess(newReported);
  const listeners = signals.flatMap((signal) =>
    process.listeners(signal)
      .filter((listener) => !isOwnListener(listener) && !reported.has(listener))
      .map((listener) => ({ signal, listener }))
  );
  if (listeners.length === 0) return;
  for (const { listener } of listeners) reported.add(listener);
  events.emit({
    type: "other-listeners",
    listeners: listeners.map(({ signal, listener }) => ({ signal, name: nameOf(listener) })),
  });
}

/** Returns the name of a function, or the beginning of its source. */
function nameOf(listener: object): string {
  const { name } = listener as { name?: unknown };
  if (typeof name === "string" && name !== "") return name;
  return String(listener).replace(/\s+/g, " ").slice(0, EXCERPT);
}
