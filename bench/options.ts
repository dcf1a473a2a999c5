/** The options of the command. */
import { parseArgs } from "node:util";
import { type Runtime, RUNTIMES } from "../support/runtimes.ts";

/** What is measured. */
export type Part = "steady" | "drain" | "scale" | "import";

const PARTS: readonly Part[] = ["steady", "drain", "scale", "import"];

/** What the command is told. */
export interface Options {
  readonly runtimes: readonly Runtime[];
  readonly parts: readonly Part[];
  /** The number of rounds in steady state. The other parts repeat in proportion. */
  readonly rounds: number;
  /** The file that all results are written to. */
  readonly json: string | undefined;
  /** The folder that charts are drawn into. */
  readonly charts: string | undefined;
}

/** Reads the options, or throws an error that says what is wrong with one. */
export function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true, default: [...RUNTIMES] },
      part: { type: "string", multiple: true, default: [...PARTS] },
      rounds: { type: "string", default: "21" },
      json: { type: "string" },
      charts: { type: "string" },
    },
  });
  return {
    runtimes: values.only.map((name) => asOneOf("only", RUNTIMES, name)),
    parts: values.part.map((name) => asOneOf("part", PARTS, name)),
    rounds: asCount(values.rounds),
    json: values.json,
    charts: values.charts,
  };
}

function asOneOf<Name extends string>(
  option: string,
  names: readonly Name[],
  name: string,
): Name {
  const found = names.find((one) => one === name);
  if (found !== undefined) return found;
  throw new RangeError(
    `Cannot measure as '--${option}' must be one of ${names.join(", ")}: it is ${name}`,
  );
}

function asCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count > 0) return count;
  throw new RangeError(
    `Cannot measure as '--rounds' must be 1 or more: it is ${text}`,
  );
}
