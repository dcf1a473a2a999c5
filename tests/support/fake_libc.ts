import { Buffer } from "node:buffer";
import type { LibC } from "../../src/runtime/linux/libc.ts";

/** A call of `setsockopt`, and the program of BPF that it has attached, if there was one. */
export interface SetOption {
  readonly fd: number;
  readonly option: number;
  readonly program: readonly Instruction[];
}

/** An instruction of classic BPF, as the kernel reads it. */
export interface Instruction {
  readonly code: number;
  readonly ifTrue: number;
  readonly ifFalse: number;
  readonly constant: number;
}

/** The size of a `struct sock_fprog`, by which an attached program is told from other options. */
const FPROG = 16;

/** A C library without a kernel: files, folders and links that a test has written, and what was asked of it. */
export class FakeLibC {
  readonly files: Map<string, string> = new Map();
  readonly folders: Map<string, readonly string[]> = new Map();
  readonly links: Map<string, string> = new Map();
  readonly options: SetOption[] = [];
  /** How many bytes a `read` returns at most. */
  chunk: number = Infinity;
  /** How many bytes were read. */
  bytesRead = 0;
  /** What `setsockopt` returns. */
  status = 0;
  readonly #open = new Map<number, { content: Buffer; entries: string[] }>();
  readonly #memory = new Map<bigint, Uint8Array>();
  #lastFd = 9;

  /** How many files are open. */
  get openFiles(): number {
    return this.#open.size;
  }

  /** What the code under test is to be given. The cast: the rest is not called. */
  get libc(): LibC {
    return this as unknown as LibC;
  }

  open(path: Uint8Array): number {
    const name = textOf(path);
    const [content, entries] = [this.files.get(name), this.folders.get(name)];
    if (content === undefined && entries === undefined) return -1;
    this.#open.set(++this.#lastFd, {
      content: Buffer.from(content ?? ""),
      entries: entries === undefined ? [] : [".", "..", ...entries],
    });
    return this.#lastFd;
  }

  close(fd: number): number {
    return this.#open.delete(fd) ? 0 : -1;
  }

  read(fd: number, buffer: Uint8Array, size: number): number {
    const file = this.#open.get(fd)!;
    const part = file.content.subarray(0, Math.min(size, this.chunk));
    file.content = file.content.subarray(part.length);
    buffer.set(part);
    this.bytesRead += part.length;
    return part.length;
  }

  readlink(path: Uint8Array, buffer: Uint8Array): number {
    const target = this.links.get(textOf(path));
    if (target === undefined) return -1;
    return new TextEncoder().encodeInto(target, buffer).written;
  }

  /** Two entries at a time, each padded as the kernel pads it. */
  getdents64(fd: number, buffer: Uint8Array): number {
    const view = new DataView(buffer.buffer);
    let at = 0;
    for (const name of this.#open.get(fd)!.entries.splice(0, 2)) {
      const bytes = new TextEncoder().encode(`${name}\0`);
      const length = Math.ceil((19 + bytes.length) / 8) * 8;
      buffer.fill(0xff, at, at + length);
      view.setUint16(at + 16, length, true);
      buffer.set(bytes, at + 19);
      at += length;
    }
    return at;
  }

  pointer(buffer: Uint8Array): bigint {
    const address = BigInt(0x1000 * (this.#memory.size + 1));
    this.#memory.set(address, buffer);
    return address;
  }

  setsockopt(fd: number, _level: number, option: number, value: Uint8Array): number {
    const program = value.length === FPROG ? this.#programAt(value) : [];
    this.options.push({ fd, option, program });
    return this.status;
  }

  #programAt(fprog: Uint8Array): Instruction[] {
    const header = new DataView(fprog.buffer);
    const bytes = this.#memory.get(header.getBigUint64(8, true))!;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return Array.from({ length: header.getUint16(0, true) }, (_, index) => ({
      code: view.getUint16(8 * index, true),
      ifTrue: view.getUint8(8 * index + 2),
      ifFalse: view.getUint8(8 * index + 3),
      constant: view.getUint32(8 * index + 4, true),
    }));
  }
}

function textOf(path: Uint8Array): string {
  return Buffer.from(path).toString().slice(0, -1);
}
