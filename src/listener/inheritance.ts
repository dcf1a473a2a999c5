/**
 * What this process has inherited: listening sockets, and a predecessor or a supervisor. The environment is read at
 * first use, by `listen`, `serve`, `serveTcp`, `graceful` or an `Upgrader`.
 */
import { ofProcess } from "../core/process_state.ts";
import { resolve } from "node:path";
import process from "node:process";
import { type Addr, covers, sameAddr } from "../core/addr.ts";
import { ignoreVariable } from "../runtime/host/variables.ts";
import { readActivation, removeActivation, removeServiceVariables } from "../systemd/activation.ts";
import { hasSocket, isRunning } from "../runtime/linux/processes.ts";
import { sockets } from "../runtime/sockets.ts";
import type { Sockets } from "../core/sockets.ts";
import { holdHangups } from "./hangups.ts";
import {
  HANDOVER,
  type Handover,
  type InheritedSocket,
  readHandover,
  removeHandover,
} from "./handover.ts";

/** The sockets that a process has inherited, and their origin. */
interface Inheritance {
  /** The handover of the predecessor or the supervisor; undefined if there is neither. */
  readonly handover: Handover | undefined;
  /** The sockets that nothing has claimed yet. */
  readonly unclaimed: Set<InheritedSocket>;
}

const inherited = (): Inheritance => ofProcess(inherit);

function inherit(): Inheritance {
  const handover = acceptHandover();
  return { handover, unclaimed: new Set(handover?.listeners ?? activated()) };
}

/**
 * Returns the handover of the predecessor or the supervisor, if this process has one. The handover is accepted as a
 * whole or not at all, and no descriptor is touched before the handover is accepted. After that the descriptors are
 * closed in every program that this process starts.
 */
function acceptHandover(): Handover | undefined {
  const handover = readHandover();
  if (handover === undefined) return undefined;
  // Called before the variable is removed, so that the next call throws the same error.
  const own = sockets();
  const obstacle = obstacleTo(handover, own);
  removeHandover();
  if (obstacle !== undefined) {
    ignoreVariable(HANDOVER, obstacle, JSON.stringify(handover));
    return undefined;
  }
  for (const { fd } of handover.listeners) own.closeOnExec(fd);
  own.closeOnExec(handover.ready);
  holdHangups();
  // A supervisor also describes the same sockets in systemd's variables, for programs without this
  // package.
  if (handover.worker !== undefined) removeServiceVariables();
  return handover;
}

/** Reports whether a process can have started this process: it is the parent, or has ended. */
function isParent(pid: number): boolean {
  return process.ppid === pid || !isRunning(pid);
}

/** Returns why the handover is not meant for this process, or no longer holds; undefined if it can be accepted. */
function obstacleTo({ pid, ready, listeners }: Handover, own: Sockets): string | undefined {
  if (!isParent(pid)) return `was set by process ${pid}, which did not start this process`;
  if (!own.isPipe(ready)) return `names descriptor ${ready} as a pipe, which it is not`;
  const wrong = listeners.find(({ fd, addr }) => !own.listensAt(fd, addr));
  return wrong &&
    `names descriptor ${wrong.fd} as a socket that listens at its address, which it is not`;
}

/**
 * Returns the sockets that a supervisor has opened for this process. The files of unix sockets stay the
 * supervisor's.
 */
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
    const handoff = "inherit" as const;
    return [{ fd, addr, asked: addr, handoff, name, unlink: false, kept: true }];
  });
  if (others.length > 0) {
    ignoreVariable(
      "LISTEN_FDS",
      "names descriptors that are not listening stream sockets",
      others.join(" "),
    );
  }
  return listeners;
}

/** The process that has started this process, and the pipe on which this process says that it is ready. */
type Starter = Pick<Handover, "pid" | "ready">;

/** Returns the predecessor, which this process replaces. */
export function predecessor(): Starter | undefined {
  const { handover } = inherited();
  return handover?.worker === undefined ? handover : undefined;
}

/** Returns the supervisor whose worker this process is. */
export function supervisor(): Starter | undefined {
  const { handover } = inherited();
  return handover?.worker === undefined ? undefined : handover;
}

/**
 * Reports whether this process is a worker whose supervisor is gone. No event reports the end of a parent process.
 */
export function isSupervisorGone(): boolean {
  const pid = supervisor()?.pid;
  return pid !== undefined && process.ppid !== pid;
}

/**
 * Reports whether the supervisor of this process has a socket open, or may have: others accept on the socket then, or
 * will. The supervisor closes its sockets when it begins to end the service.
 */
export function isHeldBySupervisor(fd: number): boolean {
  const pid = supervisor()?.pid;
  return pid !== undefined && process.ppid === pid && hasSocket(pid, fd) !== false;
}

/**
 * Returns the unclaimed socket with a name or for an address, and marks it as claimed. Returns undefined if there is
 * no such socket.
 */
export function claim(asked: Addr, name: string | undefined): InheritedSocket | undefined {
  const { unclaimed } = inherited();
  const listeners = [...unclaimed];
  const found = listeners.find((socket) => name !== undefined && socket.name === name) ??
    listeners.find((socket) => sameAddr(socket.asked, asked)) ??
    listeners.find((socket) => sameAddr(socket.asked, absolute(asked))) ??
    listeners.find(({ addr }) => covers(addr, asked));
  if (found !== undefined) unclaimed.delete(found);
  return found;
}

/** Returns an address with the absolute path of a unix socket: a supervisor may run in another folder. */
function absolute(addr: Addr): Addr {
  return addr.transport === "unix" ? { ...addr, path: resolve(addr.path) } : addr;
}

/** Returns the addresses of the inherited sockets that nothing has asked for yet. */
export function unclaimedAddresses(): Addr[] {
  return [...inherited().unclaimed].map(({ addr }) => addr);
}

/** Undoes a {@linkcode claim}. */
export function unclaim(socket: InheritedSocket): void {
  inherited().unclaimed.add(socket);
}

/** Returns the sockets of the predecessor that nothing has claimed, and leaves them to the caller. */
export function takeUnclaimed(): InheritedSocket[] {
  return predecessor() === undefined ? [] : takeAll();
}

/**
 * Returns the sockets of the supervisor that nothing has claimed. These sockets stay open, because a server
 * without this package may use their descriptors.
 */
export function leftBySupervisor(): InheritedSocket[] {
  return supervisor() === undefined ? [] : takeAll();
}

/** Returns all sockets that nothing has claimed, whoever has opened them, and leaves them to the caller. */
export function takeAll(): InheritedSocket[] {
  const { unclaimed } = inherited();
  const left = [...unclaimed];
  unclaimed.clear();
  return left;
}
