/**
 * A service whose end is watched: it writes the events of `graceful` as lines of JSON. Its argument is
 * a JSON object of {@linkcode Plan}.
 */
import { subscribe } from "node:diagnostics_channel";
import net from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import {
  adopt,
  type Cleanup,
  type Engine,
  graceful,
  type GracefulEvent,
  type GracefulOptions,
  serve,
  type ServeInfo,
  type Server,
} from "../../mod.ts";
import { createServer } from "node:http";
import { CHANNEL_NAMES } from "../../src/core/channel_names.ts";

/** What the service is made of. */
export interface Plan {
  /** The engine of each of its servers; "adopted" is a server of node:http, which takes upgrades. */
  readonly servers: readonly (Engine | "auto" | "adopted")[];
  readonly graceful?: GracefulOptions;
  /** What its cleanup functions do, in the order in which they are registered. */
  readonly cleanups?: readonly string[];
  /** A call of `graceful` for each server, the second of which has another timeout. */
  readonly apart?: number;
  /** What is told of the end: the events, or, by the default, lines on stderr. */
  readonly log?: "default" | "failing" | "rejecting";
  /** What those who subscribe to all channels do: they write each message, after others have failed in this way. */
  readonly channels?: "write" | "throw" | "reject";
  /** Keeps the event loop busy for so many ms when the drain starts. */
  readonly busy?: number;
  /** Sends itself a SIGTERM when it has waited for a second, as a library does that has stopped. */
  readonly raising?: boolean;
  /** Something that fails in this way when the drain starts, and before it. */
  readonly throwing?: "exception" | "rejection";
  /** Whether `idleGrace` is left to its default, and not 0. */
  readonly hasDefaultGrace?: boolean;
  /** Whether it listens to its parent, which keeps the channel to it open. */
  readonly listensToParent?: boolean;
  /** What its hooks do, by the names of {@linkcode cleanups}. */
  readonly hooks?: { readonly beforeShutdown?: string; readonly onDrain?: string };
}

const cleanups: Readonly<Record<string, Cleanup>> = {
  quick: async function quick() {
    for (let i = 0; i < 10; i++) await undefined;
    console.log("cleanup: quick;");
  },
  slow: async function slow() {
    await sleep(100);
    console.log("cleanup: slow;");
  },
  stuck: function stuck() {
    console.log("cleanup: stuck;");
    return new Promise(() => {});
  },
  exiting: function exiting() {
    process.exit();
  },
  failing: function failing() {
    throw new Error("of a cleanup");
  },
  leaking: function leaking() {
    setInterval(() => {}, 60_000);
  },
  waiting: async function waiting() {
    console.log("cleanup: waiting;");
    await gate.promise;
  },
  nameless: ((_: unknown) => () => Promise.reject(new Error("of a nameless cleanup")))(0),
};

const plan: Plan = JSON.parse(process.argv[2]!);
console.log(`starts: ${process.pid};`);
const gate = Promise.withResolvers<void>();

/** Resolves when the client of a request has gone. */
function clientLeft({ signal }: Request): Promise<unknown> {
  return new Promise((resolve) => signal.addEventListener("abort", resolve));
}

async function handler(request: Request, { draining }: ServeInfo): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/") return new Response("hello");
  console.log(`arrived: ${pathname};`);
  if (pathname === "/leak") setInterval(() => {}, 60_000);
  if (pathname === "/stuck" || pathname === "/leak") await new Promise(() => {});
  // A handler whose client has left stops: the drain would wait for it.
  if (pathname === "/gate") await Promise.race([gate.promise, clientLeft(request)]);
  if (pathname === "/open") gate.resolve();
  if (pathname === "/fail" && plan.throwing !== undefined) fail(plan.throwing);
  if (pathname === "/close") setTimeout(() => void servers[0]!.close(), 50);
  if (pathname === "/drain" && !draining.aborted) {
    await new Promise((resolve) => draining.addEventListener("abort", resolve));
  }
  return new Response(pathname);
}

/** One whose connections can be upgraded, to nothing. */
async function adopted(): Promise<Server> {
  const native = createServer((_request, response) => response.end("hello"));
  native.on("upgrade", (_request, socket: net.Socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => native.listen(0, "127.0.0.1", resolve));
  return adopt(native);
}

const local = { port: 0, hostname: "127.0.0.1" } as const;
if (plan.listensToParent) process.on("message", () => {});
const servers: Server[] = [];
for (const engine of plan.servers) {
  servers.push(engine === "adopted" ? await adopted() : await serve(handler, { ...local, engine }));
}

function subscribeToAll(): void {
  for (const name of CHANNEL_NAMES) {
    if (plan.channels === "throw") {
      subscribe(name, () => {
        throw new Error(`of a subscriber of ${name}`);
      });
    }
    if (plan.channels === "reject") {
      subscribe(name, () => Promise.reject(new Error(`of a subscriber of ${name}`)));
    }
    subscribe(name, (message, name) => {
      console.log(`channel: ${String(name)} ${JSON.stringify(message, errorAsText)};`);
    });
  }
}

function errorAsText(_key: string, value: unknown): unknown {
  return value instanceof Error ? String(value) : value;
}

function write(event: GracefulEvent): unknown {
  if (plan.log === "rejecting") return Promise.reject(new Error("of a log"));
  if (plan.log === "failing") throw new Error("of a log");
  if (plan.raising && event.type === "waiting") process.kill(process.pid, "SIGTERM");
  if (event.type === "draining") {
    if (plan.throwing !== undefined) fail(plan.throwing);
    if (plan.busy !== undefined) beBusy(plan.busy);
  }
  const error = "error" in event ? { error: String(event.error) } : {};
  return console.log(`event: ${JSON.stringify({ ...event, ...error })};`);
}

function hooks(name: string | undefined): Cleanup[] {
  return name === undefined ? [] : [cleanups[name]!];
}

function beBusy(ms: number): void {
  console.log("busy;");
  for (const start = performance.now(); performance.now() - start < ms;);
}

/** Outside of what calls it. */
function fail(how: NonNullable<Plan["throwing"]>): void {
  if (how === "rejection") void Promise.reject(new Error("of a rejection"));
  else {
    setTimeout(() => {
      throw new Error("of an exception");
    }, 0);
  }
}

if (plan.channels !== undefined) subscribeToAll();
const options: GracefulOptions = {
  log: write,
  // Most tests are about something else than idle connections.
  ...(plan.hasDefaultGrace ? {} : { idleGrace: 0 }),
  ...plan.graceful,
  ...(plan.log === "default" ? { log: undefined } : {}),
  beforeShutdown: hooks(plan.hooks?.beforeShutdown),
  onDrain: hooks(plan.hooks?.onDrain),
  cleanup: plan.cleanups?.map((name) => cleanups[name]!) ?? [],
};
if (plan.apart !== undefined) {
  graceful(servers[1]!, { ...options, timeout: plan.apart, cleanup: [] }).then(
    ({ exitCode }) => console.log(`apart: ${exitCode};`),
  );
}
const ending = graceful(plan.apart === undefined ? servers : servers[0]!, options);
for (const { addr, engine } of servers) {
  console.log(`port: ${addr.transport === "tcp" && addr.port} ${engine};`);
}
console.log("up;");
const report = await ending;
console.log(
  `down: ${report.cause} ${report.exitCode} ${process.exitCode} ${report.errors.length};`,
);
