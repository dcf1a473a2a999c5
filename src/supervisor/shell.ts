/**
 * The shell that starts the workers. The shell sets `LISTEN_PID` to its own process id and then replaces itself by
 * the worker's program, which keeps that id.
 */
import { spawnSync } from "node:child_process";

/** A shell of this system, and what it can do. */
export interface Shell {
  readonly program: string;
  /**
   * Whether the shell can duplicate descriptors whose numbers have several digits. POSIX requires only one digit, and
   * dash supports only that.
   */
  readonly movesDescriptors: boolean;
  /**
   * Whether the program `setpriv` is there. It makes the kernel send SIGTERM to a worker when the supervisor is gone,
   * for workers without this package.
   */
  readonly hasDeathSignal: boolean;
}

/** The words with which the probe reports what the shell can do. */
const MOVES = "moves";
const DEATH_SIGNAL = "death-signal";

const PROBE = `
  (eval 'exec 12<&0 3<&12 12<&-') 2>/dev/null && echo ${MOVES}
  setpriv --pdeathsig TERM true 2>/dev/null && echo ${DEATH_SIGNAL}
  true
`;

/**
 * Returns the shell to start workers with; undefined if there is no shell, as in some containers. With
 * `mustMoveDescriptors`, a shell that can move descriptors is preferred.
 */
export function findShell(mustMoveDescriptors: boolean): Shell | undefined {
  const sh = probe("sh");
  if (sh?.movesDescriptors === true || !mustMoveDescriptors) return sh;
  const bash = probe("bash");
  return bash?.movesDescriptors === true ? bash : sh;
}

function probe(program: string): Shell | undefined {
  const { status, stdout } = spawnSync(program, ["-c", PROBE], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  if (status !== 0) return undefined;
  const abilities = stdout.split("\n");
  return {
    program,
    movesDescriptors: abilities.includes(MOVES),
    hasDeathSignal: abilities.includes(DEATH_SIGNAL),
  };
}

/**
 * Returns the command of a shell that becomes the program of a worker. `numbers` are the descriptors of the
 * listeners in the shell. The shell moves them to the numbers from `first` on.
 */
export function shellCommand(
  { program, hasDeathSignal }: Shell,
  command: readonly string[],
  numbers: readonly number[],
  first: number,
): [program: string, ...args: string[]] {
  // One at a time: bash keeps copies of what a command closes from descriptor 10 on, until the command is over, and
  // would close there what the command has moved.
  const moves = numbers.flatMap((number, index) => [
    `exec ${first + index}<&${number}`,
    `exec ${number}<&-`,
  ]);
  const script = [
    ...moves,
    // The variable is for programs without this package, and has to hold the process id of the program
    // itself.
    '[ -z "$LISTEN_FDS" ] || export LISTEN_PID=$$',
    hasDeathSignal ? 'exec setpriv --pdeathsig TERM -- "$@"' : 'exec "$@"',
  ];
  return [program, "-c", script.join("\n"), program, ...command];
}
