/**
 * Functions that read Linux's `/proc` with the C library. Deno's own API would need the permission for
 * everything.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { O_RDONLY } from "./headers.ts";
import { type LibC, openLibC } from "./libc.ts";

const CHUNK = 64 * 1024;
/** The code of the digit 0. */
const ZERO = 48;

/** Returns the names in a folder; none if the folder cannot be opened. */
export function namesIn(libc: LibC, path: string): string[] {
  const names: string[] = [];
  withOpen(libc, path, (folder) => {
    for (const name of entries(libc, folder)) {
      names.push(new TextDecoder().decode(name.subarray(0, name.indexOf(0))));
    }
  });
  return names;
}

/** Returns the text of a file, without a newline at its end; an empty text if the file cannot be opened. */
export function contentOf(libc: LibC, path: string): string {
  return [...linesOf(libc, path)].join("\n");
}

/** Returns the text of a file; an empty text if the file cannot be read, and on Deno without FFI. */
export function procFile(path: string): string {
  if ("deno" in process.versions) {
    const libc = openLibC();
    return libc === undefined ? "" : contentOf(libc, path);
  }
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Returns the target of a symbolic link; an empty text if the link cannot be read. */
export function targetOf(libc: LibC, path: string): string {
  const target = new Uint8Array(256);
  const size = libc.readlink(cString(path), target, target.length);
  return new TextDecoder().decode(target.subarray(0, Math.max(0, size)));
}

/** Returns the numbers of the process's open descriptors, in no order. */
export function descriptors(libc: LibC): number[] {
  const numbers: number[] = [];
  withOpen(libc, "/proc/self/fd", (folder) => {
    for (const name of entries(libc, folder)) {
      const number = numberIn(name);
      if (number !== undefined && number !== folder) numbers.push(number);
    }
  });
  return numbers;
}

/**
 * Returns the number that a name consists of. There can be tens of thousands of names, so the name is not
 * converted to a string.
 */
function numberIn(name: Uint8Array): number | undefined {
  let number = 0;
  for (const character of name) {
    if (character === 0) return number;
    if (character < ZERO || character > ZERO + 9) return undefined;
    number = number * 10 + character - ZERO;
  }
  return number;
}

/**
 * Yields the lines of a file, and reads the file only as far as needed. Yields nothing if the file cannot
 * be opened.
 */
export function* linesOf(libc: LibC, path: string): Generator<string> {
  const file = libc.open(cString(path), O_RDONLY);
  if (file < 0) return;
  try {
    const buffer = new Uint8Array(CHUNK);
    const decoder = new TextDecoder();
    let rest = "";
    for (let size; (size = libc.read(file, buffer, CHUNK)) > 0;) {
      // The last bytes of a chunk may be the beginning of a character.
      const text = decoder.decode(buffer.subarray(0, size), { stream: true });
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      yield* lines;
    }
    rest += decoder.decode();
    if (rest !== "") yield rest;
  } finally {
    libc.close(file);
  }
}

/** Returns a text as a C string, which ends with a NUL. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

function withOpen(libc: LibC, path: string, use: (file: number) => void): void {
  const file = libc.open(cString(path), O_RDONLY);
  if (file < 0) return;
  use(file);
  libc.close(file);
}

/** Yields the names in the entries (`struct linux_dirent64`) of a folder, each with the zero bytes that end it. */
function* entries(libc: LibC, folder: number): Generator<Uint8Array> {
  const NAME = 19;
  const buffer = new Uint8Array(CHUNK);
  const view = new DataView(buffer.buffer);
  for (let size; (size = libc.getdents64(folder, buffer, CHUNK)) > 0;) {
    for (let at = 0; at < size;) {
      const length = view.getUint16(at + 16, true);
      yield buffer.subarray(at + NAME, at + length);
      at += length;
    }
  }
}
