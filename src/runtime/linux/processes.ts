/**
 * Other processes, as Linux shows them in `/proc`: whether one is still there, and those of a program
 * that was started with a mark in its environment. A wrapper such as `npm run` starts others, which
 * outlive it when it is killed.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { openLibC } from "./libc.ts";
import { contentOf, namesIn, targetOf } from "./proc_files.ts";

/** The access to `/proc`. Each function throws, or returns nothing, for what is not there any more. */
interface Proc {
  namesIn(path: string): readonly string[];
  contentOf(path: string): string;
  targetOf(path: string): string;
}

/** A process as `/proc/PID/stat` has it. */
interface Process {
  readonly pid: number;
  readonly parent: number;
  /** The time of the start in ticks of the kernel's clock. */
  readonly start: number;
}

/** The number of ms between two looks. */
const INTERVAL = 5;
/** The number of looks: what cannot be killed, or is not gone by then, is left. */
const LOOKS = 200;

/**
 * Kills the processes that were started with one of the variables in their environment, and what these
 * have started. Resolves when none of them is left. Does nothing on other systems than Linux.
 *
 * A process counts only if it was started after this one, in the same PID namespace: what is in the
 * variables can then name this process and no other that has had its number.
 */
export async function killMarked(variables: Readonly<Record<string, string>>): Promise<void> {
  const proc = openProc();
  if (proc === undefined) return;
  const marks = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  // What is killed may have started something since the look.
  for (let looks = 0; looks < LOOKS; looks++) {
    const found = markedProcesses(proc, marks);
    if (found.length === 0) return;
    for (const pid of found) kill(pid);
    await sleep(INTERVAL);
  }
}

/**
 * Whether the process that had this number when this one was started is still there. One that has ended,
 * and is not reaped yet, is gone; on other systems than Linux it counts.
 */
export function isRunning(pid: number): boolean {
  const proc = openProc();
  if (proc === undefined) {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  }
  const [own, other] = [processOf(proc, "self"), processOf(proc, String(pid))];
  return own !== undefined && other !== undefined && other.start <= own.start;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended since, or belongs to somebody else.
  }
}

function openProc(): Proc | undefined {
  if (process.platform !== "linux") return undefined;
  if (!("deno" in process.versions)) {
    return {
      namesIn: readdirSync,
      contentOf: (path) => readFileSync(path, "utf8"),
      targetOf: (path) => readlinkSync(path),
    };
  }
  const libc = openLibC();
  return libc && {
    namesIn: (path) => namesIn(libc, path),
    contentOf: (path) => contentOf(libc, path),
    targetOf: (path) => targetOf(libc, path),
  };
}

/** The numbers of the processes that are marked, and of those that descend from them. */
function markedProcesses(proc: Proc, marks: readonly string[]): number[] {
  const own = processOf(proc, "self");
  if (own === undefined) return [];
  const namespace = attempted(() => proc.targetOf("/proc/self/ns/pid"));
  const candidates = proc.namesIn("/proc").flatMap((name) => {
    const found = /^\d+$/.test(name) ? processOf(proc, name) : undefined;
    return found === undefined || found.pid === own.pid || found.start < own.start ? [] : [found];
  });
  const chosen = new Set(
    candidates.map(({ pid }) => pid).filter((pid) => isMarked(proc, pid, marks, namespace)),
  );
  for (let count = 0; count < chosen.size;) {
    count = chosen.size;
    for (const { pid, parent } of candidates) if (chosen.has(parent)) chosen.add(pid);
  }
  return [...chosen];
}

function isMarked(
  proc: Proc,
  pid: number,
  marks: readonly string[],
  namespace: string | undefined,
): boolean {
  const environment = attempted(() => proc.contentOf(`/proc/${pid}/environ`));
  if (environment === undefined || environment === "") return false;
  const variables = environment.split("\0");
  return marks.some((mark) => variables.includes(mark)) &&
    attempted(() => proc.targetOf(`/proc/${pid}/ns/pid`)) === namespace;
}

/** Returns a process; undefined if there is none, or it has ended and is not reaped yet. */
function processOf(proc: Proc, name: string): Process | undefined {
  const stat = attempted(() => proc.contentOf(`/proc/${name}/stat`)) ?? "";
  // The name of the program is in parentheses, and may have some itself.
  const found = /^(\d+) \(.*\) (\S) (.*)/s.exec(stat);
  if (found === null || found[2] === "Z" || found[2] === "X") return undefined;
  const fields = found[3]!.split(" ");
  return { pid: Number(found[1]), parent: Number(fields[0]), start: Number(fields[18]) };
}

/** Calls a function that may fail: most processes are of other users, and any may have ended since. */
function attempted<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
