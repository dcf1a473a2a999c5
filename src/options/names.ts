import { printable } from "../core/printable.ts";
import { checkObject } from "./checks.ts";

/** The name of every option of an interface. The compiler refuses a list in which one is missing. */
export type OptionNames<Options> = Readonly<Record<keyof Options, true>>;

/** What to use instead of an option that another API has, by the name there. */
export type Replacements = Readonly<Record<string, string>>;

/**
 * Throws a TypeError unless `options` is an object and every name in it is that of an option: an option that nothing
 * reads would only be missed when it matters. The error says what to use instead: what `replacements` has for the
 * name, or else the option with the most similar name.
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
 * Throws a TypeError that says what to use instead if `options` has a name in `replacements`. The error names an option
 * with `prefix`, which is that of an object of options among options.
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

function suggestion(name: string, names: readonly string[]): string {
  const distances = names.map((known) => distance(name.toLowerCase(), known.toLowerCase()));
  const least = Math.min(...distances);
  if (least <= name.length / 3) {
    return `did you mean '${names[distances.indexOf(least)]}'?`;
  }
  return names.length === 1
    ? `the only option is '${names[0]}'`
    : `the options are ${names.join(", ")}`;
}

/**
 * Returns how many letters must be added, removed or replaced, or exchanged with the next one, to make one word of the
 * other (Damerau and Levenshtein).
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
