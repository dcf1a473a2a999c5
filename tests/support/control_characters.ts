/** The characters that act on a terminal, or on how a line is read. */
const CODES: readonly number[] = [
  ...Array.from({ length: 0x20 }, (_, code) => code),
  ...Array.from({ length: 0x21 }, (_, code) => 0x7f + code),
  ...[0x61c, 0x200e, 0x200f, 0x2028, 0x2029],
  ...[0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069],
];
/** A text of all of them. */
export const EVIL: string = String.fromCharCode(...CODES);

/** Which of them a text has, but for the ends of lines that it may have. */
export function acting(text: string, allowed = ""): string[] {
  return CODES.filter((code) => {
    const character = String.fromCharCode(code);
    return text.includes(character) && !allowed.includes(character);
  }).map((code) => code.toString(16));
}
