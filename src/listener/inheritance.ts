/**
 * What this process has inherited, and who left it. The environment is read when it is first asked
 * for: by `listen`, a `serve` of any kind, `graceful` or an `Upgrader`.
 */
import process from "node:process";
import type { Addr } from "../core/addr.ts";
import { isRunning } from "../runtime/linux/processes.ts";
import { sockets } from "../runtime/sockets.ts";
import type { Sockets } from "../core/sockets.ts";
import {
  type Heirloom,
  ignore,
  readActivation,
  readWill,
  removeActivation,
  removeWill,
  WILL,
  type Will,
} from "./handover.ts";

let inheritance: { readonly will: Will | undefined; readonly unclaimed: Set<Heirloom> } | undefined;

/** What the predecessor left, or a supervisor has opened, and nothing has asked for yet. */
function inherited(): NonNullable<typeof inheritance> {
  if (inheritance === undefined) {
    const will = acceptWill();
    inheritance = { will, unclaimed: new Set(will?.listeners ?? activated()) };
  }
  return inheritance;
}

/**
 * Takes over what the predecessor left, if this process is to replace one. What it says is believed
 * when all of it is so, and before that no descriptor is touched. From then on they are this process's
 * own, which what it starts does not inherit.
 */
function acceptWill(): Will | undefined {
  const will = readWill();
  if (will === undefined) return undefined;
  // What may throw comes first: the next to ask is to hear of it as well.
  const own = sockets();
  const obstacle = obstacleTo(will, own);
  removeWill();
  if (obstacle !== undefined) {
    ignore(WILL, obstacle, JSON.stringify(will));
    return undefined;
  }
  for (const { fd } of will.listeners) own.own(fd);
  own.own(will.ready);
  return will;
}

/** Whether a process has started this one: it is the parent, or was until it ended. */
function isParent(pid: number): boolean {
  return process.ppid === pid || !isRunning(pid);
}

/** Why the variable is not meant for this process, or no longer true. */
function obstacleTo({ pid, ready, listeners }: Will, own: Sockets): string | undefined {
  if (!isParent(pid)) return `is of process ${pid}, which has not started this one`;
  if (!own.isPipe(ready)) return `names ${ready} for a pipe, which it is not`;
  const wrong = listeners.find(({ fd, addr }) => !own.listensAt(fd, addr));
  return wrong && `names ${wrong.fd} for a socket that listens at its address, which it is not`;
}

/** The sockets that a supervisor opened. Their files are its own, too. */
function activated(): Heirloom[] {
  const passed = readActivation();
  if (passed.length === 0) return [];
  const own = sockets();
  removeActivation();
  const others: number[] = [];
  const listeners = passed.flatMap(({ fd, name }) => {
    const addr = own.addressOf(fd);
    if (addr === undefined) {
      others.push(fd);
      return [];
    }
    own.own(fd);
    return [{ fd, addr, asked: addr, handoff: "inherit" as const, name, unlink: false }];
  });
  if (others.length > 0) {
    ignore("LISTEN_FDS", "is of some that do not listen for streams", others.join(" "));
  }
  return listeners;
}

/** Whom this process is to replace, and how it says that it can. */
export function predecessor(): Pick<Will, "pid" | "ready"> | undefined {
  return inherited().will;
}

/** The inherited listener of a name or for an address, if there is one; each is given away once. */
export function claim(asked: Addr, name: string | undefined): Heirloom | undefined {
  const { unclaimed } = inherited();
  const listeners = [...unclaimed];
  const found = listeners.find((heirloom) => name !== undefined && heirloom.name === name) ??
    listeners.find((heirloom) => same(heirloom.asked, asked)) ??
    listeners.find(({ addr }) => covers(addr, asked));
  if (found !== undefined) unclaimed.delete(found);
  return found;
}

/** Undoes a {@linkcode claim}. */
export function giveBack(heirloom: Heirloom): void {
  inherited().unclaimed.add(heirloom);
}

/** The listeners of the predecessor that nothing has asked for: taken by the caller. */
export function takeUnclaimed(): Heirloom[] {
  const { will, unclaimed } = inherited();
  if (will === undefined) return [];
  const left = [...unclaimed];
  unclaimed.clear();
  return left;
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
    bound.hostname === "::" && asked.hostname === "0.0.0.0";
}
