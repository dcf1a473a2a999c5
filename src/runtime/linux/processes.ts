/**
 * Functions that find other processes through Linux's `/proc`: to report whether a process still runs or has a socket
 * open, to reap orphaned processes, and to kill all processes of a program that was started with a mark in its
 * environment. The last is needed because the processes that a wrapper such as `npm run` has started outlive the wrapper.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { WNOHANG } from "./headers.ts";
import { openLibC } from "./libc.ts";
import { contentOf, namesIn, targetOf } from "./proc_files.ts";

/** The access to `/proc`. Each function throws, or returns an empty result, for a process that has ended. */
interface Proc {
  namesIn(path: string): readonly string[];
  contentOf(path: string): string;
  targetOf(path: string): string;
}

/** A process, as `/proc/PID/stat` describes it. */
interface Process {
  readonly pid: number;
  /**
   * The state as a letter: `Z` means that the process has ended and is not reaped, `X` that the process is
   * being removed.
   */
  readonly state: string;
  readonly parent: number;
  /** The time at which the process started, in ticks of the kernel's clock. */
  readonly start: number;
}

/** The number of milliseconds between two searches for marked processes. */
const INTERVAL = 5;
/** The number of searches. A process that cannot be killed, or has not ended by then, is left running. */
const SEARCHES = 200;

/**
 * Kills the processes that were started with one of the variables in their environment, and all processes
 * that they have started. Resolves when none of them is left, or after the last search. Does nothing where
 * `/proc` cannot be read.
 *
 * A process is killed only if it did not start before this process, and a marked process only if it is in the
 * PID namespace of this process: a process id in the variables then means this process, and not an earlier
 * process that had the same id.
 */
export async function killMarked(variables: Readonly<Record<string, string>>): Promise<void> {
  const proc = openProc();
  if (proc === undefined) return;
  const marks = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const killed = new Set<number>();
  // A killed process may have started another process since the search.
  for (let searches = 0; searches < SEARCHES; searches++) {
    const found = markedProcesses(proc, marks);
    // A process that is ending has no environment any more.
    const isEnding = [...killed].some((pid) => processOf(proc, String(pid)) !== undefined);
    if (found.length === 0 && !isEnding) return;
    for (const pid of found) {
      killed.add(pid);
      kill(pid);
    }
    await sleep(INTERVAL);
  }
}

/**
 * Reports whether the process that had this id when this process was started still runs. A process that has
 * ended, but is not reaped yet, does not count. Where `/proc` cannot be read, such a process does count, and
 * so does a later process with the same id.
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

/**
 * Returns whether another process has the socket behind a descriptor of this process open; undefined if that cannot be
 * found out.
 */
export function hasSocket(pid: number, fd: number): boolean | undefined {
  const proc = openProc();
  const socket = proc && attempted(() => proc.targetOf(`/proc/self/fd/${fd}`));
  if (proc === undefined || !socket?.startsWith("socket:")) return undefined;
  const folder = `/proc/${pid}/fd`;
  const names = attempted(() => proc.namesIn(folder)) ?? [];
  if (names.length === 0) return undefined;
  return names.some((name) => attempted(() => proc.targetOf(`${folder}/${name}`)) === socket);
}

/**
 * Returns whether a process that this process has started, or a process that descends from such a process, has the socket
 * behind a descriptor open. Returns false where that cannot be found out.
 */
export function isOpenInDescendant(fd: number): boolean {
  const proc = openProc();
  const own = proc && processOf(proc, "self");
  if (own === undefined) return false;
  const descendants = withDescendants(new Set([own.pid]), othersSince(proc!, own));
  return [...descendants].some((pid) => pid !== own.pid && hasSocket(pid, fd) === true);
}

/**
 * Reaps the children of this process that have ended, except for processes for which `spared` returns true: the
 * runtime reaps these itself. The kernel makes process 1 the parent of orphaned processes. Does nothing without the
 * C library.
 */
export function reapChildren(spared: (pid: number) => boolean): void {
  const libc = openLibC();
  const proc = libc && openProc();
  if (libc === undefined || proc === undefined) return;
  for (const name of proc.namesIn("/proc")) {
    if (!/^\d+$/.test(name) || spared(Number(name))) continue;
    const found = statOf(proc, name);
    const isOurs = found?.state === "Z" && found.parent === process.pid;
    if (isOurs) libc.waitpid(found.pid, new Uint8Array(4), WNOHANG);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // The process has ended meanwhile, or belongs to another user.
  }
}

/** Returns the access to `/proc`; undefined on other systems, or on Deno without the C library. */
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

/** Returns the ids of the marked processes, and of the processes that descend from them. */
function markedProcesses(proc: Proc, marks: readonly string[]): number[] {
  const own = processOf(proc, "self");
  if (own === undefined) return [];
  const namespace = attempted(() => proc.targetOf("/proc/self/ns/pid"));
  const candidates = othersSince(proc, own);
  const chosen = new Set(
    candidates.map(({ pid }) => pid).filter((pid) => isMarked(proc, pid, marks, namespace)),
  );
  return [...withDescendants(chosen, candidates)];
}

/** Returns the other processes that did not start before a process. */
function othersSince(proc: Proc, { pid, start }: Process): Process[] {
  return proc.namesIn("/proc").flatMap((name) => {
    const found = /^\d+$/.test(name) ? processOf(proc, name) : undefined;
    return found === undefined || found.pid === pid || found.start < start ? [] : [found];
  });
}

/** Adds those candidates to a set of process ids that descend from a process in the set. Returns the set. */
function withDescendants(chosen: Set<number>, candidates: readonly Process[]): Set<number> {
  for (let count = 0; count < chosen.size;) {
    count = chosen.size;
    for (const { pid, parent } of candidates) if (chosen.has(parent)) chosen.add(pid);
  }
  return chosen;
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

/**
 * Returns the process with this name in `/proc`; undefined if there is none, or if the process has ended and
 * is not reaped yet.
 */
function processOf(proc: Proc, name: string): Process | undefined {
  const found = statOf(proc, name);
  return found === undefined || found.state === "Z" || found.state === "X" ? undefined : found;
}

/** Returns the process that `/proc/NAME/stat` describes; undefined if there is no such process. */
function statOf(proc: Proc, name: string): Process | undefined {
  const stat = attempted(() => proc.contentOf(`/proc/${name}/stat`)) ?? "";
  // The name of the program stands in parentheses, and may contain parentheses itself.
  const found = /^(\d+) \(.*\) (\S) (.*)/s.exec(stat);
  if (found === null) return undefined;
  const fields = found[3]!.split(" ");
  return {
    pid: Number(found[1]),
    state: found[2]!,
    parent: Number(fields[0]),
    start: Number(fields[18]),
  };
}

/**
 * Returns what `read` returns, or undefined if `read` throws: most processes belong to other users, and any
 * process may have ended meanwhile.
 */
function attempted<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
