/** The programs that the kernel is given for sockets of one port, without a kernel. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { holdBackHandshakes, steerTo, stopSteering } from "../../../src/runtime/linux/steering.ts";
import type { Addr } from "../../../mod.ts";
import { FakeLibC, type Instruction } from "../../support/fake_libc.ts";
import { runtime } from "../../support/fixture.ts";

const SO_ATTACH_FILTER = 26;
const SO_DETACH_FILTER = 27;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const SO_DETACH_REUSEPORT_BPF = 68;

const HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid";

function row(local: string, state: string): string {
  return `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0`;
}

/** The kernel's tables: of IPv4, and of IPv6. */
function withTables(tcp: readonly string[], tcp6: readonly string[] = []): FakeLibC {
  const fake = new FakeLibC();
  fake.files.set("/proc/self/net/tcp", [HEADER, ...tcp, ""].join("\n"));
  fake.files.set("/proc/self/net/tcp6", [HEADER, ...tcp6, ""].join("\n"));
  return fake;
}

/** What a program of classic BPF returns for the bytes of a segment. */
function runProgram(program: readonly Instruction[], bytes: readonly number[]): number {
  let accumulator = 0;
  for (let at = 0;; at++) {
    const { code, ifTrue, ifFalse, constant } = program[at]!;
    if (code === 0x06) return constant;
    else if (code === 0x30) accumulator = bytes[constant]!;
    else if (code === 0x54) accumulator &= constant;
    else if (code === 0x15) at += accumulator === constant ? ifTrue : ifFalse;
    else throw new Error(`Unknown instruction ${code}`);
  }
}

const ADDR: Addr = { transport: "tcp", hostname: "127.0.0.1", port: 9527 };
const V4 = "0100007F:2537";

test(`[${runtime}] steerTo() names the place of the last of the sockets that listen at the address`, () => {
  for (const others of [0, 1, 5]) {
    const rows = Array.from({ length: others + 1 }, () => row(V4, "0A"));
    const fake = withTables([row("0100007F:2538", "0A"), row("00000000:2537", "0A"), ...rows]);
    assertEquals(steerTo(fake.libc, 7, ADDR), true);
    assertEquals(fake.options, [{
      fd: 7,
      option: SO_ATTACH_REUSEPORT_CBPF,
      program: [{ code: 0x06, ifTrue: 0, ifFalse: 0, constant: others }],
    }]);
    assertEquals(fake.openFiles, 0);
  }
});

for (
  const [hostname, hex] of [
    ["::1", "00000000000000000000000001000000"],
    ["::", "00000000000000000000000000000000"],
    ["2001:db8::a:1", "B80D01200000000000000000" + "01000A00"],
    ["fe80:1:2:3:4:5:6:7", "010080FE" + "03000200" + "05000400" + "07000600"],
  ] as const
) {
  test(`[${runtime}] steerTo() finds the address of IPv6 ${hostname}`, () => {
    const fake = withTables([row(V4, "0A")], [row(`${hex}:2537`, "0A"), row(`${hex}:2537`, "0A")]);
    assertEquals(steerTo(fake.libc, 7, { ...ADDR, hostname }), true);
    assertEquals(fake.options[0]!.program.map(({ constant }) => constant), [1]);
  });
}

test(`[${runtime}] steerTo() counts no connections, and reads no further than the listening sockets`, () => {
  const connections = Array.from({ length: 20_000 }, () => row(V4, "01"));
  const fake = withTables([row(V4, "0A"), ...connections]);
  fake.chunk = 4_096;
  assertEquals(steerTo(fake.libc, 7, ADDR), true);
  assertEquals(fake.options[0]!.program.map(({ constant }) => constant), [0]);
  assertEquals(fake.bytesRead, 4_096);
  assertEquals(fake.openFiles, 0);
});

test(`[${runtime}] steerTo() returns false where no socket listens, and for a unix socket`, () => {
  const fake = withTables([row(V4, "01")]);
  assertEquals(steerTo(fake.libc, 7, ADDR), false);
  assertEquals(steerTo(fake.libc, 7, { transport: "unix", path: "/run/x" }), false);
  assertEquals(steerTo(new FakeLibC().libc, 7, ADDR), false);
  assertEquals(fake.options, []);
});

test(`[${runtime}] steerTo() returns false where the kernel refuses the program`, () => {
  const fake = withTables([row(V4, "0A")]);
  fake.status = -1;
  assertEquals(steerTo(fake.libc, 7, ADDR), false);
});

test(`[${runtime}] stopSteering() detaches the program from the group`, () => {
  const fake = new FakeLibC();
  stopSteering(fake.libc, 7);
  assertEquals(fake.options, [{ fd: 7, option: SO_DETACH_REUSEPORT_BPF, program: [] }]);
});

test(`[${runtime}] holdBackHandshakes() drops a SYN, and lets every other segment pass`, () => {
  const fake = new FakeLibC();
  holdBackHandshakes(fake.libc, 7);
  const [{ fd, option, program } = { fd: -1, option: -1, program: [] }] = fake.options;
  assertEquals([fd, option, fake.options.length], [7, SO_ATTACH_FILTER, 1]);
  const [FIN, SYN, RST, PSH, ACK, ECE] = [1, 2, 4, 8, 16, 64] as const;
  for (let flags = 0; flags < 256; flags++) {
    const segment = Array.from({ length: 20 }, (_, index) => index === 13 ? flags : 0xff);
    const isFirst = (flags & SYN) !== 0 && (flags & ACK) === 0;
    assertEquals(runProgram(program, segment), isFirst ? 0 : 0xffffffff, `flags ${flags}`);
  }
  for (const flags of [SYN | ACK, ACK, ACK | PSH, FIN | ACK, RST]) {
    assertEquals(runProgram(program, new Array(20).fill(flags)), 0xffffffff);
  }
  assertEquals(runProgram(program, new Array(20).fill(SYN | ECE)), 0);
});

test(`[${runtime}] holdBackHandshakes() returns what detaches its filter`, () => {
  const fake = new FakeLibC();
  const letIn = holdBackHandshakes(fake.libc, 7);
  letIn();
  assertEquals(fake.options.at(-1), { fd: 7, option: SO_DETACH_FILTER, program: [] });
});
