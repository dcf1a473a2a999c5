import { printable } from "../core/printable.ts";
import { checkObject } from "./checks.ts";

/** The name of every option of an interface. The compiler refuses an object in which a name is missing. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>;

/** What to use instead of options of other APIs, by their names in these APIs. */
export type Replacements = Readonly<Record<string, string>>;

/**
 * Throws a TypeError unless `options` is an object whose every name is the name of an option. A misspelled option
 * would otherwise be noticed only when it is needed. The error says what to use instead: the entry of
 * `replacements`, or else the option with the most similar name.
 */
export function checkNames<Options>(
  what: string,
  options: Options,
  names: OptionNames<Options>,
  replacements: Replacements = {},
): void {
  checkObject(`${what} as the options`, options);
  refuseNames(what, options, replacements);
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(names, name)) refuseName(what, name, suggestion(name, Object.keys(names)));
  }
}

/**
 * Throws a TypeError that says what to use instead if `options` has a name in `replacements`. The error puts `prefix`
 * before the name: for an object of options within the options, the prefix is the name of that object with a dot.
 */
export function refuseNames(
  what: string,
  options: object,
  replacements: Replacements,
  prefix = "",
): void {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(replacements, name)) continue;
    refuseName(what, `${prefix}${name}`, replacements[name]!);
  }
}

function refuseName(what: string, name: string, advice: string): never {
  throw new TypeError(`Cannot ${what} as '${printable(name)}' is not an option: ${advice}`);
}

/** Returns which of the names may have been meant, or else all of them. `shown` returns a name as it is written. */
export function suggestion(
  name: string,
  names: readonly string[],
  shown: (name: string) => string = (name) => `'${name}'`,
): string {
  const distances = names.map((known) => distance(name.toLowerCase(), known.toLowerCase()));
  const least = Math.min(...distances);
  if (least <= name.length / 3) {
    return `did you mean ${shown(names[distances.indexOf(least)]!)}?`;
  }
  return names.length === 1
    ? `the only option is '${names[0]}'`
    : `the options are ${names.join(", ")}`;
}

/**
 * Returns the Damerau-Levenshtein distance of two words: how many letters must be added, removed, replaced or swapped
 * with their neighbor to turn one word into the other.
 */
function distance(from: string, to: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 0; row < from.length; row++) {
    const current = [row + 1];
    for (let column = 0; column < to.length; column++) {
      const replaced = previous[column]! + (from[row] === to[column] ? 0 : 1);
      const isExchange = from[row] === to[column - 1] && from[row - 1] === to[column];
      const exchanged = isExchange ? beforePrevious[column - 1]! + 1 : Infinity;
      current.push(Math.min(replaced, exchanged, previous[column + 1]! + 1, current[column]! + 1));
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous.at(-1)!;
}
