/**
 * A process that passes its listening socket on to another process, and shuts its server down. The other process goes on
 * accepting. Says who answers a request after that.
 * Argument: how the server accepts and its socket is passed on. "serve" and "tcp": the native server is sent to a forked
 * process. "descriptor": the process inherits the descriptor of `listen`, on which an adopted server accepts.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, get } from "node:http";
import type net from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Addr, adopt, listen, serve, type Server, serveTcp } from "../../mod.ts";
import { commandOf } from "../support/process.ts";

const LOCAL = { port: 0, hostname: "127.0.0.1" };
const INHERITED = 3;

const FILE = fileURLToPath(import.meta.url);
const [kind, how] = process.argv.slice(2);
if (kind === "other") acceptToo();
else await passOn();

function acceptToo(): void {
  const server = createServer((_request, response) => response.end("the other process"));
  server.on("listening", () => console.log("accepts"));
  if (how === "descriptor") server.listen({ fd: INHERITED });
  // The cast: this is what the other process sends.
  else process.once("message", (_message, given) => server.listen(given as net.Server));
}

async function passOn(): Promise<void> {
  const { server, other } = kind === "descriptor" ? await passDescriptor() : await sendNative();
  await once(other.stdout!, "data");
  await server.shutdown();
  console.log(`answered by: ${await ask(server.addr)};`);
  other.kill("SIGKILL");
  process.exit(0);
}

async function passDescriptor(): Promise<{ server: Server; other: ChildProcess }> {
  const { fd } = await listen(LOCAL);
  const native = createServer((_request, response) => response.end("this process"));
  await new Promise<void>((resolve) => native.listen({ fd }, resolve));
  const [program, ...args] = commandOf(FILE, ["--allow-all"]);
  const stdio = ["ignore", "pipe", "inherit", fd] as const;
  const other = spawn(program!, [...args, "other", "descriptor"], { stdio: [...stdio] });
  return { server: adopt(native), other };
}

async function sendNative(): Promise<{ server: Server; other: ChildProcess }> {
  const server = kind === "tcp"
    ? await serveTcp(({ writable }) => writable.close(), LOCAL)
    : await serve(() => new Response("this process"), { ...LOCAL, engine: "node" });
  const other = fork(FILE, ["other", "sent"], { silent: true });
  // The cast: this is the native server of the engine "node".
  other.send("a server", server.native as net.Server);
  return { server, other };
}

/** Returns the response to a request, or the code of the error. */
function ask(addr: Addr): Promise<string> {
  // The cast: the server listens on TCP.
  const { port, hostname } = addr as Addr & { transport: "tcp" };
  return new Promise((resolve) => {
    get({ port, hostname, agent: false }, (response) => {
      response.setEncoding("utf8").once("data", resolve);
    }).on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}
