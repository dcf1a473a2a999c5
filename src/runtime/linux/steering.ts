/**
 * Functions that steer new connections among the sockets that share a port with SO_REUSEPORT, on Linux. By
 * default the kernel spreads connections over all of these sockets. When one of the sockets closes, the
 * connections in its accept queue are reset.
 */
import type { Addr } from "../../core/addr.ts";
import {
  BPF_AND_K,
  BPF_JEQ_K,
  BPF_LD_B_ABS,
  BPF_LD_W_ABS,
  BPF_MOD_K,
  BPF_RET_K,
  IPPROTO_TCP,
  SO_ATTACH_FILTER,
  SO_ATTACH_REUSEPORT_CBPF,
  SO_DETACH_FILTER,
  SO_DETACH_REUSEPORT_BPF,
  SOL_SOCKET,
  TCP_INFO,
} from "./headers.ts";
import type { LibC } from "./libc.ts";
import { contentOf, linesOf } from "./proc_files.ts";
import { listeningRows, MIGRATION, tableAddress, TCP_TABLES } from "./proc_net.ts";
import { INFO_ACCEPT_QUEUE } from "./tcp_info.ts";

/** The place at which a program reads a random number: `SKF_AD_OFF + SKF_AD_RANDOM`. */
const RANDOM = 0xfffff038;
/** The offset of the flags in a TCP header. */
const TCP_FLAGS = 13;
const TCP_SYN = 0x02;
const TCP_ACK = 0x10;
const INFO_SIZE = 28;

/**
 * Makes the kernel give every new connection to the socket `fd`, which must be the last socket that joined
 * its port. Returns false if that fails. When another socket of the port closes, the index in the program
 * no longer matches a socket, and the kernel spreads connections again.
 */
export function steerTo(libc: LibC, fd: number, addr: Addr): boolean {
  const index = countListening(libc, addr) - 1;
  if (index < 0) return false;
  return attach(libc, fd, SO_ATTACH_REUSEPORT_CBPF, [[BPF_RET_K, 0, 0, index]]);
}

/**
 * Makes the kernel spread new connections at random over some of the sockets that share the port of the socket `fd`.
 * `places` are the places of these sockets in the order in which the sockets have begun to listen. Returns false if the
 * kernel refuses.
 */
export function spreadOver(libc: LibC, fd: number, places: readonly number[]): boolean {
  const choose = places.flatMap((place, index): Instruction[] => [
    [BPF_JEQ_K, 0, 1, index],
    [BPF_RET_K, 0, 0, place],
  ]);
  return attach(libc, fd, SO_ATTACH_REUSEPORT_CBPF, [
    [BPF_LD_W_ABS, 0, 0, RANDOM],
    [BPF_MOD_K, 0, 0, places.length],
    ...choose,
    // This instruction is never reached, but a program has to end with it.
    [BPF_RET_K, 0, 0, places[0]!],
  ]);
}

/** An instruction of classic BPF: its code, the jumps if its condition is true or false, and its constant. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, constant: number];

/** Attaches a BPF program to a socket, for the kernel to run. Returns false if the kernel refuses. */
function attach(
  libc: LibC,
  fd: number,
  option: number,
  instructions: readonly Instruction[],
): boolean {
  const program = new DataView(new ArrayBuffer(8 * instructions.length));
  for (const [i, [code, ifTrue, ifFalse, constant]] of instructions.entries()) {
    program.setUint16(8 * i, code, true);
    program.setUint8(8 * i + 2, ifTrue);
    program.setUint8(8 * i + 3, ifFalse);
    program.setUint32(8 * i + 4, constant, true);
  }
  const bytes = new Uint8Array(program.buffer);
  // A `struct sock_fprog`: the number of instructions, and their address.
  const fprog = new DataView(new ArrayBuffer(16));
  fprog.setUint16(0, instructions.length, true);
  fprog.setBigUint64(8, libc.pointer(bytes), true);
  const value = new Uint8Array(fprog.buffer);
  return libc.setsockopt(fd, SOL_SOCKET, option, value, value.length) === 0;
}

/** The BPF program that drops the first segment of each handshake (SYN without ACK), and nothing else. */
const NO_NEW_HANDSHAKES: readonly Instruction[] = [
  [BPF_LD_B_ABS, 0, 0, TCP_FLAGS],
  [BPF_AND_K, 0, 0, TCP_SYN | TCP_ACK],
  [BPF_JEQ_K, 0, 1, TCP_SYN],
  [BPF_RET_K, 0, 0, 0],
  [BPF_RET_K, 0, 0, 0xffffffff],
];

/**
 * Makes the kernel ignore new handshakes with a listening TCP socket, and finish the handshakes that have
 * begun. A client whose first segment is ignored sends it again after a second. Returns a function that lets
 * handshakes in again.
 */
export function holdBackHandshakes(libc: LibC, fd: number): () => void {
  attach(libc, fd, SO_ATTACH_FILTER, NO_NEW_HANDSHAKES);
  return () => {
    libc.setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, new Uint8Array(4), 4);
  };
}

/**
 * Reports whether the kernel gives the connections in the accept queue of a socket at this address to another socket
 * when the socket closes.
 */
export function migrates(libc: LibC, addr: Addr): boolean {
  return contentOf(libc, MIGRATION) === "1" && countListening(libc, addr) > 1;
}

/** Makes the kernel spread connections over all sockets of the port again. */
export function stopSteering(libc: LibC, fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, new Uint8Array(4), 4);
}

/** Returns the number of connections in the accept queue of a listening TCP socket; undefined for others. */
export function acceptQueue(libc: LibC, fd: number): number | undefined {
  const info = new Uint8Array(INFO_SIZE);
  const size = new Uint8Array(Uint32Array.of(INFO_SIZE).buffer);
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, size) !== 0) return undefined;
  return new DataView(info.buffer).getUint32(INFO_ACCEPT_QUEUE, true);
}

/** Returns the number of sockets that listen at a TCP address; 0 for another address. */
export function countListening(libc: LibC, addr: Addr): number {
  if (addr.transport !== "tcp") return 0;
  const address = tableAddress(addr);
  const lines = linesOf(libc, TCP_TABLES[addr.hostname.includes(":") ? 1 : 0]!);
  let count = 0;
  for (const { local } of listeningRows(lines)) if (local === address) count++;
  return count;
}
