/** What this process has inherited, and who left it. */
import type { Addr } from "../conn.ts";
import { sockets } from "../runtime/sockets.ts";
import { type Heirloom, takeActivation, takeWill, type Will } from "./environment.ts";

/**
 * What the predecessor left, if this process is to replace one. Taken before this process can start
 * another, which would inherit it in turn.
 */
const will = takeWill();
for (const { fd } of will?.listeners ?? []) sockets().own(fd);
if (will !== undefined) sockets().own(will.ready);

let unclaimed: Set<Heirloom> | undefined;

/** The inherited listeners that nothing has asked for yet. */
function inherited(): Set<Heirloom> {
  unclaimed ??= new Set(will?.listeners ?? activated());
  return unclaimed;
}

/** The sockets that a supervisor opened. Their files are its own, too. */
function activated(): Heirloom[] {
  return takeActivation().flatMap(({ fd, name }) => {
    const addr = sockets().addressOf(fd);
    sockets().own(fd);
    return addr === undefined
      ? []
      : [{ fd, addr, asked: addr, handoff: "inherit" as const, name, unlink: false }];
  });
}

/** Whom this process is to replace, and how it says that it can. */
export function predecessor(): Pick<Will, "pid" | "ready"> | undefined {
  return will;
}

/** The inherited listener of a name or for an address, if there is one; each is given away once. */
export function claim(asked: Addr, name: string | undefined): Heirloom | undefined {
  const listeners = [...inherited()];
  const found = listeners.find((heirloom) => name !== undefined && heirloom.name === name) ??
    listeners.find((heirloom) => same(heirloom.asked, asked)) ??
    listeners.find(({ addr }) => covers(addr, asked));
  if (found !== undefined) inherited().delete(found);
  return found;
}

/** Undoes a {@linkcode claim}. */
export function giveBack(heirloom: Heirloom): void {
  inherited().add(heirloom);
}

/** The listeners of the predecessor that nothing has asked for: taken by the caller. */
export function takeUnclaimed(): Heirloom[] {
  if (will === undefined) return [];
  const left = [...inherited()];
  inherited().clear();
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
