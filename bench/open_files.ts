/** The limit of open files, which each connection needs one of. */
import { readFileSync } from "node:fs";

/** The limit of this process and of its children; where it is not to be learned, the least that is usual. */
export function maxOpenFiles(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max open files +(\d+|unlimited)/m.exec(limits)?.[1];
    return soft === "unlimited" ? Infinity : Number(soft ?? 1_024);
  } catch {
    return 1_024;
  }
}
