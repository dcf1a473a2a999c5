/**
 * Starts server.ts on Node, Deno and Bun, puts clients in the middle of everything on each, sends
 * SIGTERM, and shows how every connection ends; then restarts a service on each under load. Exits
 * with 1 if more was lost than must be.
 */
import { constants } from "node:os";
import process from "node:process";
import { styleText } from "node:util";
import { createBoard, print } from "./board.ts";
import { clients, DEADLINE, Drain, type Play } from "./clients.ts";
import { type Program, runtimes, startProgram } from "./program.ts";
import { showRestarts } from "./restarts.ts";
import { type Outcome, Table } from "./table.ts";

/** What became of one program. */
interface Result {
  readonly program: Program;
  readonly outcomes: readonly Outcome[];
  readonly exit: number | string;
}

/** A program ends with this when the deadline had to cut something. */
const FORCED = 1;

async function main(): Promise<void> {
  const programs = await Promise.all(runtimes.map(startProgram));
  const plays = await Promise.all(programs.map(openAll));
  const count = clients.reduce((sum, client) => sum + client.connections, 0);
  print(`One server program on three runtimes, ${count} connections to each.`);
  print(`Now SIGTERM, with a deadline of ${DEADLINE} ms:`, "");
  const results = await stopAll(programs, plays);
  const isConcluded = conclude(results);
  process.exitCode = await showRestarts() && isConcluded ? 0 : 1;
}

/** Opens the clients of one program, the last one first: see `clients`. */
async function openAll({ port }: Program): Promise<Play[]> {
  const plays: Play[] = [];
  for (const client of clients.toReversed()) plays.unshift(await client.open(port));
  return plays;
}

/** Sends the signal and lets the clients play, to the end of all processes. */
async function stopAll(programs: readonly Program[], plays: readonly Play[][]): Promise<Result[]> {
  const names = programs.map(({ name, version }) => `${name} ${version}`);
  const table = new Table(clients.map(({ name }) => name), names);
  const board = createBoard(table);
  const drains = programs.map((program) => {
    const drain = new Drain();
    program.terminate();
    return drain;
  });
  const results = await Promise.all(programs.map(async (program, column) => {
    const outcomes = await Promise.all(plays[column]!.map(async (play, row) => {
      const outcome = await outcomeOf(play, drains[column]!);
      board.show(row, column, outcome);
      return outcome;
    }));
    return { program, outcomes, exit: await program.exit };
  }));
  board.finish();
  return results;
}

async function outcomeOf(play: Play, drain: Drain): Promise<Outcome> {
  try {
    const ending = await play(drain);
    return { ...ending, ms: drain.elapsed };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { how: "lost", text: "LOST", error: message, ms: drain.elapsed };
  }
}

/** Says what it comes to, and whether it is what it should be. */
function conclude(results: readonly Result[]): boolean {
  const exits = results.map(({ program, exit }) => `${program.name} ${exit}`);
  print("", `Exit codes: ${exits.join(", ")} (${FORCED}: the deadline had to cut something).`);
  const faults = results.flatMap(faultsOf);
  if (faults.length > 0) {
    print("", ...faults);
    for (const { program } of results) print("", `${program.name} wrote:`, program.log());
    return false;
  }
  const cut = Math.max(...results.map(cuts));
  const requests = cut === 1 ? "1 stuck request" : `${cut} stuck requests`;
  print(
    styleText("green", `Nothing lost on any runtime but the ${requests} that the deadline cut.`),
  );
  return true;
}

function faultsOf(result: Result): string[] {
  const { program, outcomes, exit } = result;
  const faults = outcomes.flatMap(({ how, error }, row) =>
    how === "lost" ? [`${clients[row]!.name}: ${error}`] : []
  );
  const due = cuts(result) > 0 ? FORCED : 0;
  if (exit !== due) faults.push(`exit code ${exit} instead of ${due}`);
  return faults.map((fault) => styleText("red", `LOST on ${program.name}: ${fault}`));
}

/** How many clients the deadline has cut. */
function cuts({ outcomes }: Result): number {
  return outcomes.filter(({ how }) => how === "cut").length;
}

// The programs are killed when this process exits.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => process.exit(128 + constants.signals[signal]));
}
// Whoever read the output has gone.
process.stdout.on("error", () => process.exit(1));

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
