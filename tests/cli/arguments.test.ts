/** The command line of `graceful`. */
import { test } from "node:test";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseArguments } from "../../src/cli/arguments.ts";
import { USAGE } from "../../src/cli/usage.ts";
import { runtime } from "../support/fixture.ts";
import { commandOf } from "../support/process.ts";

const refused: readonly (readonly [args: string, message: string])[] = [
  ["", "Cannot run graceful: the command is missing. Its one command is run, as in"],
  ["walk -- x", 'Cannot run graceful: "walk" is not a command. Its one command is run'],
  ["run", "Cannot run without a command: put '--' before the command of the service"],
  ["run --", "Cannot run without a command: put '--' before the command of the service"],
  ["run node main.ts", "Cannot run without a command: put '--' before the command of the service"],
  ["run node -- main.ts", "Cannot run: Unexpected argument 'node'"],
  ["run --lissten=80 -- x", "Cannot run as '--lissten' is not an option: did you mean '--listen'?"],
  ["run --workers -- x", "Cannot run: Option '--workers <value>' argument missing"],
  ["run --workers 0 -- x", "'--workers' must be auto or an integer from 1 to 1024"],
  ["run --workers 1e2 -- x", "'--workers' must be auto or an integer from 1 to 1024"],
  ["run --workers all -- x", 'from 1 to 1024: current value is "all"'],
  ["run --listen web -- x", `'--listen' must be "[host:]port", or the path`],
  ["run --listen 70000 -- x", "'--listen' must be an integer from 0 to 65535"],
  ["run --health x -- x", `'--health' must be "[host:]port", or the path`],
  ["run --pid-file= -- x", "'--pid-file' must be the path of a file"],
  ["run --ready-timeout 0 -- x", "'--ready-timeout' must be a number of seconds from 0.001 to"],
  ["run --ready-timeout=-1 -- x", 'to 2147483: current value is "-1"'],
  ["run --min-uptime 1s -- x", 'to 2147483: current value is "1s"'],
  ["run --prefix=1 -- x", "Cannot run: Option '--prefix' does not take an argument"],
];

for (const [args, message] of refused) {
  test(`[${runtime}] graceful refuses "${args}"`, () => {
    const words = args === "" ? [] : args.split(" ");
    assertThrows(() => parseArguments(words), Error, message);
  });
}

test(`[${runtime}] graceful run reads its options, and leaves those of the command alone`, () => {
  const own =
    "run --listen 80 --listen=/run/web --reuseport --workers auto --pid-file p --ready-timeout 2.5";
  const args = `${own} --min-uptime 0 --health 81 --prefix -- node --listen 1 -- main.ts`;
  assertEquals(parseArguments(args.split(" ")), {
    what: "run",
    options: {
      command: ["node", "--listen", "1", "--", "main.ts"],
      listen: ["80", "/run/web"],
      reuseport: true,
      workers: "auto",
      pidFile: "p",
      readyTimeout: 2_500,
      minUptime: 0,
      health: "81",
      prefix: true,
    },
  });
});

const [program, ...start] = commandOf(
  fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url)),
);
const graceful = (...args: string[]) =>
  spawnSync(program, [...start, ...args], { encoding: "utf8" });

test(`[${runtime}] graceful --help says what there is`, () => {
  for (const args of [["--help"], ["run", "--help"]]) {
    const { status, stdout } = graceful(...args);
    assertEquals([status, stdout], [0, USAGE]);
  }
  assert(USAGE.split("\n").every((line) => line.length <= 100));
});

test(`[${runtime}] graceful ends with code 2 for wrong arguments, and with 1 if it cannot listen`, () => {
  const misuse = graceful("run", "--workers", "\u001b[2J", "--", "x");
  assertEquals(misuse.status, 2);
  assert(misuse.stderr.startsWith("Cannot run as '--workers' must be auto"), misuse.stderr);
  assert(!misuse.stderr.includes("\u001b"), "nothing acts on the terminal");
  assert(misuse.stderr.endsWith('See "graceful --help".\n'), misuse.stderr);
  const failure = graceful("run", "--listen", "/no/such/folder/socket", "--", "x");
  assertEquals([failure.status, failure.stderr], [
    1,
    'Cannot listen on the path "/no/such/folder/socket": the folder does not exist\n',
  ]);
});
