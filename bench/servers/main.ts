/**
 * A server process: `main.ts MODULE` runs the server of a module of this folder on any of the three runtimes.
 *
 * Prints the port as a line. Then answers each command on stdin with a line of JSON: see commands.ts. The
 * process ends with its stdin.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { whenWaiting } from "./gate.ts";
import { measureDrains } from "./measure_drain.ts";
import { measureShutdown } from "./measure_shutdown.ts";
import type { Start } from "./started.ts";
import { collectGarbage, usage } from "./usage.ts";

const { start }: { start: Start } = await import(`./${process.argv[2]}.ts`);
const server = await start();

async function answerTo(
  command: string,
  numbers: readonly number[],
): Promise<unknown> {
  const [first = 0, second = 0] = numbers;
  switch (command) {
    case "usage":
      return usage();
    case "memory":
      await collectGarbage();
      return usage();
    case "waiting":
      await whenWaiting(first);
      return {};
    case "drain":
      return await measureDrains(start, first, second);
    case "shutdown":
      return await measureShutdown(server);
    default:
      throw new Error(`A server process has no command "${command}"`);
  }
}

// Ends the process while a command is still at work, too.
process.stdin.once("end", () => process.exit());
console.log(server.port);
for await (const line of createInterface({ input: process.stdin })) {
  const [command = "", ...numbers] = line.split(" ");
  console.log(JSON.stringify(await answerTo(command, numbers.map(Number))));
}
process.exit();
