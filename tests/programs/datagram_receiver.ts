/**
 * Receives on a unix datagram socket, by Bun's FFI: no runtime can by itself. The argument is a path
 * or `@name`. It says when it is bound, receives when its standard input has ended, and writes each
 * datagram with the time of CLOCK_MONOTONIC in microseconds.
 */
import { readFileSync } from "node:fs";
import process from "node:process";

interface Functions {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, addr: Uint8Array, size: number): number;
  recv(fd: number, buffer: Uint8Array, size: number, flags: number): number;
  clock_gettime(clock: number, time: BigInt64Array): number;
}

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const CLOCK_MONOTONIC = 1;

// The cast: the types of node do not know Bun's modules.
const { dlopen } = process.getBuiltinModule("bun:ffi" as "fs") as unknown as {
  dlopen(library: string, symbols: object): { symbols: Functions };
};
const libc = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
}).symbols;

const address = process.argv[2]!;
const name = new TextEncoder().encode(address.replace(/^@/, "\0"));
const fd = libc.socket(AF_UNIX, SOCK_DGRAM, 0);
if (libc.bind(fd, Uint8Array.of(AF_UNIX, 0, ...name), 2 + name.length) !== 0) {
  throw new Error(`Cannot bind to ${address}`);
}
console.log("bound");
readFileSync(0);

for (let number = 1;; number++) {
  const buffer = new Uint8Array(64 * 1024);
  const size = libc.recv(fd, buffer, buffer.length, 0);
  const time = new BigInt64Array(2);
  libc.clock_gettime(CLOCK_MONOTONIC, time);
  const text = new TextDecoder("utf-8", { fatal: true }).decode(buffer.subarray(0, size));
  const at = Number(time[0]! * 1_000_000n + time[1]! / 1_000n);
  console.log(`datagram ${number}: ${JSON.stringify({ text, at })}`);
}
