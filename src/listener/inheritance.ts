/**
 * What this process has inherited, and who left it. The environment is read when it is first asked
 * for: by `listen`, a `serve` of any kind, `graceful` or an `Upgrader`.
 */
import { ofProcess } from "../core/process_state.ts";
import process from "node:process";
import { type Addr, covers, sameAddr } from "../core/addr.ts";
import { ignoreVariable } from "../runtime/host/variables.ts";
import { readActivation, removeActivation } from "../systemd/activation.ts";
import { isRunning } from "../runtime/linux/processes.ts";
import { sockets } from "../runtime/sockets.ts";
import type { Sockets } from "../core/sockets.ts";
import {
  HANDOVER,
  type Handover,
  type InheritedSocket,
  readHandover,
  removeHandover,
} from "./handover.ts";

/** The sockets that a process has inherited, and from whom. */
interface Inheritance {
  /** The handover of the predecessor; undefined if there is no predecessor. */
  readonly handover: Handover | undefined;
  /** The sockets that nothing has asked for yet. */
  readonly unclaimed: Set<InheritedSocket>;
}

const inherited = (): Inheritance => ofProcess(inherit);

function inherit(): Inheritance {
  const handover = acceptHandover();
  return { handover, unclaimed: new Set(handover?.listeners ?? activated()) };
}

/**
 * Takes over what the predecessor left, if this process is to replace one. What it says is believed
 * when all of it is so, and before that no descriptor is touched. From then on they are this process's
 * own, which what it starts does not inherit.
 */
function acceptHandover(): Handover | undefined {
  const handover = readHandover();
  if (handover === undefined) return undefined;
  // What may throw comes first: the next to ask is to hear of it as well.
  const own = sockets();
  const obstacle = obstacleTo(handover, own);
  removeHandover();
  if (obstacle !== undefined) {
    ignoreVariable(HANDOVER, obstacle, JSON.stringify(handover));
    return undefined;
  }
  for (const { fd } of handover.listeners) own.closeOnExec(fd);
  own.closeOnExec(handover.ready);
  return handover;
}

/** Whether a process has started this one: it is the parent, or was until it ended. */
function isParent(pid: number): boolean {
  return process.ppid === pid || !isRunning(pid);
}

/** Returns why the handover is not meant for this process, or no longer true. */
function obstacleTo({ pid, ready, listeners }: Handover, own: Sockets): string | undefined {
  if (!isParent(pid)) return `is of process ${pid}, which has not started this one`;
  if (!own.isPipe(ready)) return `names ${ready} for a pipe, which it is not`;
  const wrong = listeners.find(({ fd, addr }) => !own.listensAt(fd, addr));
  return wrong && `names ${wrong.fd} for a socket that listens at its address, which it is not`;
}

/** The sockets that a supervisor opened. Their files are its own, too. */
function activated(): InheritedSocket[] {
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
    own.closeOnExec(fd);
    return [{ fd, addr, asked: addr, handoff: "inherit" as const, name, unlink: false }];
  });
  if (others.length > 0) {
    ignoreVariable("LISTEN_FDS", "is of some that do not listen for streams", others.join(" "));
  }
  return listeners;
}

/** Returns the predecessor, and the pipe on which this process says that it is ready. */
export function predecessor(): Pick<Handover, "pid" | "ready"> | undefined {
  return inherited().handover;
}

/** The inherited listener of a name or for an address, if there is one; each is given away once. */
export function claim(asked: Addr, name: string | undefined): InheritedSocket | undefined {
  const { unclaimed } = inherited();
  const listeners = [...unclaimed];
  const found = listeners.find((socket) => name !== undefined && socket.name === name) ??
    listeners.find((socket) => sameAddr(socket.asked, asked)) ??
    listeners.find(({ addr }) => covers(addr, asked));
  if (found !== undefined) unclaimed.delete(found);
  return found;
}

/** Undoes a {@linkcode claim}. */
export function unclaim(socket: InheritedSocket): void {
  inherited().unclaimed.add(socket);
}

/** The listeners of the predecessor that nothing has asked for: taken by the caller. */
export function takeUnclaimed(): InheritedSocket[] {
  const { handover, unclaimed } = inherited();
  if (handover === undefined) return [];
  const left = [...unclaimed];
  unclaimed.clear();
  return left;
}
