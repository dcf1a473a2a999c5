/** Makes sockets listen on Node without accepting connections, which Node's own `listen` would do. */
import { once } from "node:events";
import process from "node:process";
import { childProcess } from "../../core/builtins.ts";

/** The first descriptor of the sockets in the helper, after stdin, stdout and stderr. */
const FIRST_FD = 3;

/**
 * The program of the helper. It ends in the turn in which it has called `listen`, so it accepts no
 * connection. The sockets keep listening, because that state belongs to a socket and not to a process.
 */
const PROGRAM = `
  const net = process.getBuiltinModule("node:net");
  const [count, backlog] = process.argv.slice(1).map(Number);
  for (let index = 0; index < count; index++) {
    const server = net.createServer();
    server.on("error", ({ code }) => {
      process.stdout.write(JSON.stringify({ index, code }));
      process.exitCode = 1;
    });
    server.listen({ fd: ${FIRST_FD} + index, backlog });
  }
  process.nextTick(() => process.exit());
`;

/** A socket that could not be made to listen. */
export interface Failure {
  readonly index: number;
  /** The system's code of the error. */
  readonly code: string;
}

/**
 * Makes bound sockets listen, and returns the first failure. A helper process does this, because Node would
 * accept connections on a socket that it makes listen in this process.
 */
export async function listenInHelper(
  fds: readonly number[],
  backlog: number,
): Promise<Failure | undefined> {
  const { NODE_OPTIONS: _options, ...env } = process.env;
  const args = ["--eval", PROGRAM, String(fds.length), String(backlog)];
  const helper = childProcess().spawn(process.execPath, args, {
    env,
    stdio: ["ignore", "pipe", "inherit", ...fds],
  });
  let said = "";
  helper.stdout!.on("data", (chunk) => said += String(chunk));
  const [code, signal] = await once(helper, "close");
  if (code === 0) return undefined;
  if (said !== "") return JSON.parse(said.slice(0, said.indexOf("}") + 1));
  throw new Error(`Cannot listen: the helper has ended with ${signal ?? `code ${code}`}`);
}
