/**
 * The shell that starts the workers. It replaces itself by the worker's program, which so has the process id that the
 * shell could write into `LISTEN_PID`.
 */
import { spawnSync } from "node:child_process";

/** What the shell of this system can do. */
export interface Shell {
  readonly program: string;
  /**
   * Whether the shell can duplicate descriptors whose numbers have several digits. POSIX asks for one digit, and dash
   * takes no more.
   */
  readonly movesDescriptors: boolean;
  /**
   * Whether the program `setpriv` can have the kernel send SIGTERM to a worker when the supervisor is gone, also to a
   * worker that does not look for that itself.
   */
  readonly hasDeathSignal: boolean;
}

/** The word that an ability is reported by. */
const MOVES = "moves";
const DEATH_SIGNAL = "death-signal";

const PROBE = `
  (eval 'exec 12<&0 3<&12 12<&-') 2>/dev/null && echo ${MOVES}
  setpriv --pdeathsig TERM true 2>/dev/null && echo ${DEATH_SIGNAL}
  true
`;

/**
 * Returns the shell to start workers with; undefined if there is none, as in some containers. If the descriptors have
 * to be moved, a shell that can do this is preferred.
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
 * Returns the command with which a shell becomes the program of a worker. `numbers` are the descriptors of the
 * listeners in the shell, which it moves to the numbers from `first` on.
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
    // The variable is for programs without this package. It has to name the program itself.
    '[ -z "$LISTEN_FDS" ] || export LISTEN_PID=$$',
    hasDeathSignal ? 'exec setpriv --pdeathsig TERM -- "$@"' : 'exec "$@"',
  ];
  return [program, "-c", script.join("\n"), program, ...command];
}
