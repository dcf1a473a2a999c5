/**
 * The kernel's tables of sockets, `/proc/net/tcp`, `tcp6` and `unix`, as `proc_pid_net(5)` describes
 * them. The functions take lines: Node reads the files itself, the other runtimes with the C library.
 */
import type { Addr } from "../../core/addr.ts";

/** The paths of the tables of the TCP sockets in this process's network namespace. */
export const TCP_TABLES: readonly string[] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/**
 * The path of a kernel setting, since Linux 5.14: when a socket closes, its accept queue moves to another socket
 * that shares the port. It is described in the kernel's `ip-sysctl.rst`, and off by default.
 */
export const MIGRATION = "/proc/sys/net/ipv4/tcp_migrate_req";

/** The path of the table of the unix sockets. */
export const UNIX_TABLE = "/proc/self/net/unix";

/** The state of a TCP socket that listens. */
const LISTEN = "0A";
/** The flag of a unix socket that listens. */
const ACCEPTS = "00010000";
/** The state of a unix socket that is connected. */
const CONNECTED = "03";

/** The row of a TCP socket that listens. */
export interface ListeningRow {
  /** The local address and port, as the table writes them. */
  readonly local: string;
  readonly inode: string;
  /** The number of connections in the accept queue. */
  readonly waiting: number;
}

/**
 * Yields the rows of the sockets that listen, which come first in a table, and reads no further. The kernel
 * produces the other rows as they are read, which takes a tenth of a second for a hundred thousand
 * connections.
 */
export function* listeningRows(lines: Iterable<string>): Generator<ListeningRow> {
  let isHeader = true;
  for (const line of lines) {
    const [, local, , state, queues, , , , , inode] = line.trim().split(/\s+/);
    if (isHeader) {
      isHeader = false;
      continue;
    }
    if (state !== LISTEN) return;
    const waiting = parseInt(queues!.split(":")[1]!, 16);
    yield { local: local!, inode: inode!, waiting };
  }
}

/**
 * Returns an address as the tables write it: in hexadecimal, with the bytes of each 32-bit word reversed,
 * because x86 and arm64 are little-endian.
 */
export function tableAddress({ hostname, port }: Addr & { transport: "tcp" }): string {
  const bytes = hostname.includes(":") ? bytesOfV6(hostname) : hostname.split(".").map(Number);
  return `${reversedWords(bytes).map((byte) => hex(byte, 2)).join("")}:${hex(port, 4)}`;
}

/** Parses an address that a table has written. */
export function addrOfTable(local: string): Addr & { transport: "tcp" } {
  const [address = "", port = ""] = local.split(":");
  const bytes = reversedWords(address.match(/../g)!.map((byte) => parseInt(byte, 16)));
  return { transport: "tcp", hostname: hostnameOf(bytes), port: parseInt(port, 16) };
}

function hostnameOf(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join(".");
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) &&
    bytes[10] === 0xff && bytes[11] === 0xff;
  // Node writes an IPv4-mapped IPv6 address in this form.
  if (isMapped) return `::ffff:${bytes.slice(12).join(".")}`;
  const groups = Array.from(
    { length: 8 },
    (_, i) => hex(bytes[2 * i]! * 256 + bytes[2 * i + 1]!, 4),
  );
  // The URL parser shortens an IPv6 address.
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}

function bytesOfV6(hostname: string): number[] {
  const [head = "", tail] = hostname.split("::");
  const groups = (text: string) => text === "" ? [] : text.split(":").map((g) => parseInt(g, 16));
  const [before, after] = [groups(head), groups(tail ?? "")];
  const zeros = new Array<number>(8 - before.length - after.length).fill(0);
  return [...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 0xff]);
}

function reversedWords(bytes: readonly number[]): number[] {
  const words = Array.from({ length: bytes.length / 4 }, (_, i) => bytes.slice(4 * i, 4 * i + 4));
  return words.flatMap((word) => word.reverse());
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}

/** The row of a unix stream socket. */
export interface UnixRow {
  readonly isListening: boolean;
  readonly isConnected: boolean;
  /** The path of the socket; empty if the socket has no name. */
  readonly path: string;
}

/** Returns the row of the unix stream socket with this inode; undefined if the table has no such row. */
export function unixRow(table: string, inode: string): UnixRow | undefined {
  // The path comes last in a row, and may contain spaces and newlines.
  for (const line of table.split(/\n(?=[0-9a-f]+: )|\n$/)) {
    const row = /^\S+ \S+ \S+ (\S+) 0001 (\S+) +(\d+)(?: (.*))?$/s.exec(line);
    if (row?.[3] !== inode) continue;
    const [, flags, state, , path = ""] = row;
    return { isListening: flags === ACCEPTS, isConnected: state === CONNECTED, path };
  }
  return undefined;
}
