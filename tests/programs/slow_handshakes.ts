/**
 * Clients whose handshakes take longer than the end of a service takes to begin, which loopback cannot show. Runs on
 * Bun alone, in a network namespace of its own: the clients are written here, behind a TUN device.
 * Arguments: the command of a service, which listens on port 9000 of 10.9.0.1, says "serves" and ends at SIGTERM.
 * Says how many of the clients were answered, and with what code the service has ended.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

const CLIENTS = 5;
/** The time in ms from the end of the accepting of new handshakes to the end of the handshakes that have begun. */
const ROUND_TRIP = 100;
/** The time in ms after which no segment is expected any more. */
const LONGEST = 5_000;
const SERVER = [10, 9, 0, 1];
const CLIENT = [10, 9, 0, 2];
const PORT = 9000;
const REQUEST = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
const [FIN, SYN, RST, PSH, ACK] = [0x01, 0x02, 0x04, 0x08, 0x10];

/** What the kernel has sent. */
interface Segment {
  readonly flags: number;
  readonly sequence: number;
  readonly data: string;
  /** The client's port. */
  readonly to: number;
}

/** The end of the TUN device at which packets are read and written. */
class Tun {
  readonly #fd: number;
  readonly #libc;

  constructor() {
    // The cast: Node's types lack Bun's modules.
    const { dlopen } = process.getBuiltinModule("bun:ffi" as "fs") as unknown as {
      dlopen(path: string, symbols: object): {
        symbols: Record<string, (...args: (number | Uint8Array)[]) => number>;
      };
    };
    const [fd, ptr, returns] = ["i32", "ptr", "i32"];
    const { symbols } = dlopen("libc.so.6", {
      open: { args: [ptr, fd], returns },
      ioctl: { args: [fd, "u64", ptr], returns },
      read: { args: [fd, ptr, "u64"], returns },
      write: { args: [fd, ptr, "u64"], returns },
    });
    this.#libc = symbols;
    const [O_RDWR, O_NONBLOCK] = [2, 2_048];
    this.#fd = symbols["open"]!(bytes("/dev/net/tun\0"), O_RDWR | O_NONBLOCK);
    const request = new Uint8Array(40);
    request.set(bytes("slow0"));
    // IFF_TUN and IFF_NO_PI: packets, and nothing before them.
    new DataView(request.buffer).setUint16(16, 0x1001, true);
    const TUNSETIFF = 0x400454ca;
    if (symbols["ioctl"]!(this.#fd, TUNSETIFF, request) !== 0) throw new Error("no TUN device");
    run("ip", "addr", "add", "10.9.0.1/24", "dev", "slow0");
    run("ip", "link", "set", "slow0", "up");
  }

  send(packet: Uint8Array): void {
    this.#libc["write"]!(this.#fd, packet, packet.length);
  }

  /** Returns the next segment; undefined if there is none in the given time in ms. */
  async next(limit: number): Promise<Segment | undefined> {
    const packet = new Uint8Array(2_048);
    for (const end = performance.now() + limit; performance.now() < end;) {
      const size = this.#libc["read"]!(this.#fd, packet, packet.length);
      const segment = size > 0 ? segmentIn(packet.subarray(0, size)) : undefined;
      if (segment !== undefined) return segment;
      if (size <= 0) await sleep(1);
    }
    return undefined;
  }
}

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args);
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Returns the TCP segment in a packet. Other packets come as well, as each device has an IPv6 address. */
function segmentIn(packet: Uint8Array): Segment | undefined {
  const [version, protocol] = [packet[0]! >> 4, packet[9]];
  if (version !== 4 || protocol !== 6) return undefined;
  const tcp = packet.subarray((packet[0]! & 15) * 4);
  const view = new DataView(tcp.buffer, tcp.byteOffset, tcp.length);
  const data = tcp.subarray((tcp[12]! >> 4) * 4);
  return {
    flags: tcp[13]!,
    sequence: view.getUint32(4),
    data: new TextDecoder().decode(data),
    to: view.getUint16(2),
  };
}

/** Returns the packet of a segment from a client. */
function packetOf(
  from: number,
  flags: number,
  sequence: number,
  acknowledged: number,
  text = "",
): Uint8Array {
  const data = bytes(text);
  const packet = new Uint8Array(40 + data.length);
  const view = new DataView(packet.buffer);
  // IP: version 4 without options, the length, and a time to live.
  packet[0] = 0x45;
  view.setUint16(2, packet.length);
  packet[8] = 64;
  packet[9] = 6;
  packet.set([...CLIENT, ...SERVER], 12);
  view.setUint16(10, checksum(packet.subarray(0, 20)));
  // TCP without options.
  view.setUint16(20, from);
  view.setUint16(22, PORT);
  view.setUint32(24, sequence);
  view.setUint32(28, acknowledged);
  packet[32] = 0x50;
  packet[33] = flags;
  view.setUint16(34, 65_535);
  packet.set(data, 40);
  const pseudo = Uint8Array.of(...CLIENT, ...SERVER, 0, 6, 0, 20 + data.length);
  view.setUint16(36, checksum(Uint8Array.of(...pseudo, ...packet.subarray(20))));
  return packet;
}

/** Returns the checksum of RFC 1071. */
function checksum(of: Uint8Array): number {
  let sum = 0;
  for (const [i, byte] of of.entries()) sum += i % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

run("ip", "link", "set", "lo", "up");
const tun = new Tun();
const [command = "", ...args] = process.argv.slice(2);
const service = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
console.log(`starts: ${service.pid}`);
const exit = once(service, "exit");
await once(service.stdout!, "data");

/** The sequence numbers that the kernel has chosen, by the port of the client. */
const begun = new Map<number, number>();
for (let port = 40_000; begun.size < CLIENTS; port++) {
  tun.send(packetOf(port, SYN, 0, 0));
  const segment = await tun.next(LONGEST);
  if (segment?.flags === (SYN | ACK) && segment.to === port) begun.set(port, segment.sequence);
}
process.kill(service.pid!, "SIGTERM");
await untilTurnedAway();
await sleep(ROUND_TRIP);
for (const [port, sequence] of begun) {
  tun.send(packetOf(port, ACK, 1, sequence + 1));
  tun.send(packetOf(port, ACK | PSH, 1, sequence + 1, REQUEST));
}
console.log(`answered: ${await countAnswered()};`);
console.log(`ended: ${(await exit)[0]};`);

/** Resolves when the kernel refuses or ignores a new handshake. */
async function untilTurnedAway(): Promise<void> {
  for (let port = 50_000;; port++) {
    tun.send(packetOf(port, SYN, 0, 0));
    const segment = await tun.next(ROUND_TRIP);
    if (segment === undefined || (segment.flags & RST) !== 0) return;
    // The client of a handshake that was let in is gone.
    tun.send(packetOf(port, RST, 1, 0));
  }
}

/** Reads until each client has its response or was reset. Returns how many clients have a response. */
async function countAnswered(): Promise<number> {
  let answered = 0;
  for (const left = new Set(begun.keys()); left.size > 0;) {
    const segment = await tun.next(LONGEST);
    if (segment === undefined) break;
    const { flags, data, sequence, to } = segment;
    if (!left.has(to)) continue;
    if ((flags & RST) !== 0) left.delete(to);
    if (data.includes("hello")) answered++;
    if (data !== "") tun.send(packetOf(to, ACK, 1 + REQUEST.length, sequence + data.length));
    if ((flags & FIN) === 0) continue;
    left.delete(to);
    tun.send(packetOf(to, ACK | FIN, 1 + REQUEST.length, sequence + data.length + 1));
  }
  return answered;
}
