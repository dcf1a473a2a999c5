/** What this process has inherited, and who left it. Read once, when something first asks. */
import type { Addr } from "../conn.ts";
import { sockets } from "../runtime/sockets.ts";
import { type Heirloom, takeActivation, takeWill, type Will } from "./environment.ts";

interface Inheritance {
  /** What the predecessor left, if this process is to replace one. */
  readonly will: Will | undefined;
  /** The listeners that nothing has asked for yet. */
  readonly listeners: Set<Heirloom>;
}

let read: Inheritance | undefined;

function inheritance(): Inheritance {
  read ??= readInheritance();
  return read;
}

function readInheritance(): Inheritance {
  const will = takeWill();
  const listeners = will?.listeners ?? activated();
  const fds = listeners.map(({ fd }) => fd).concat(will?.ready ?? []);
  for (const fd of fds) sockets().own(fd);
  return { will, listeners: new Set(listeners) };
}

/** The sockets that a supervisor opened. Their files are its own, too. */
function activated(): Heirloom[] {
  return (takeActivation()?.fds ?? []).flatMap((fd) => {
    const addr = sockets().addressOf(fd);
    return addr === undefined
      ? []
      : [{ fd, addr, asked: addr, handoff: "inherit" as const, unlink: false }];
  });
}

/** Whom this process is to replace, and how it says that it can. */
export function predecessor(): Pick<Will, "pid" | "ready"> | undefined {
  return inheritance().will;
}

/** The inherited listener for an address, if there is one; each is given away once. */
export function claim(asked: Addr): Heirloom | undefined {
  const { listeners } = inheritance();
  const found = [...listeners].find((heirloom) => same(heirloom.asked, asked)) ??
    [...listeners].find(({ addr }) => covers(addr, asked));
  if (found !== undefined) listeners.delete(found);
  return found;
}

/** The listeners of the predecessor that nothing has asked for: taken by the caller. */
export function takeUnclaimed(): Heirloom[] {
  const { will, listeners } = inheritance();
  if (will === undefined) return [];
  const unclaimed = [...listeners];
  listeners.clear();
  return unclaimed;
}

function same(a: Addr, b: Addr): boolean {
  return a.transport === "tcp" && b.transport === "tcp"
    ? a.port === b.port && a.hostname === b.hostname
    : a.transport === "unix" && b.transport === "unix" && a.path === b.path;
}

/** Whether a socket is what somebody means who asks for an address: `::` takes IPv4 as well. */
function covers(bound: Addr, asked: Addr): boolean {
  if (same(bound, asked)) return true;
  return bound.transport === "tcp" && asked.transport === "tcp" && bound.port === asked.port &&
    isAny(bound.hostname) && isAny(asked.hostname);
}

function isAny(hostname: string): boolean {
  return hostname === "0.0.0.0" || hostname === "::";
}
