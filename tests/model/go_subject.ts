/** Go's net/http as a subject: the oracle of the model. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { ConnInfo, ShutdownReport } from "../../mod.ts";
import type { CallOptions, Subject } from "./subject.ts";

/** What the program tells. */
interface Told {
  readonly port?: number;
  readonly handled?: string;
  readonly connections?: readonly { readonly port: number; readonly state: string }[];
  readonly call?: number;
  readonly drained?: boolean;
}

let program: string | undefined;

/** Builds the program once, and returns where it is. */
function build(): string {
  if (program !== undefined) return program;
  const folder = mkdtempSync(join(tmpdir(), "model-go-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const built = join(folder, "subject");
  const source = fileURLToPath(new URL("./go/main.go", import.meta.url));
  execFileSync("go", ["build", "-o", built, source], {
    env: { ...process.env, GOCACHE: join(folder, "cache"), GOFLAGS: "-buildvcs=false" },
  });
  program = built;
  return built;
}

/** A server of Go in a process of its own. */
class GoSubject implements Subject {
  readonly handled: string[] = [];
  readonly #child: ChildProcess;
  readonly #lists: ((list: readonly ConnInfo[]) => void)[] = [];
  readonly #calls: ((told: Told) => void)[] = [];
  #addr: Subject["addr"] | undefined;
  #isDraining = false;
  #isClosed = false;
  readonly #started: Promise<void>;

  constructor() {
    this.#child = spawn(build(), { stdio: ["pipe", "pipe", "inherit"] });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#started = promise;
    createInterface(this.#child.stdout!).on("line", (line) => {
      const told: Told = JSON.parse(line);
      if (told.handled !== undefined) this.handled.push(told.handled);
      if (told.connections !== undefined) this.#lists.shift()?.(told.connections.map(infoOf));
      if (told.call !== undefined) this.#calls[told.call]!(told);
      if (told.port === undefined) return;
      this.#addr = { transport: "tcp", hostname: "127.0.0.1", port: told.port };
      resolve();
    });
  }

  async started(): Promise<this> {
    await this.#started;
    return this;
  }

  get addr(): Subject["addr"] {
    return this.#addr!;
  }

  #tell(command: object): void {
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
  }

  /** Whether it serves. Go does not tell whether it is closed. */
  state(): "serving" | "draining" {
    return this.#isDraining ? "draining" : "serving";
  }

  connections(): Promise<readonly ConnInfo[]> {
    // The handlers that Close leaves behind stay active in Go.
    if (this.#isClosed) return Promise.resolve([]);
    const { promise, resolve } = Promise.withResolvers<readonly ConnInfo[]>();
    this.#lists.push(resolve);
    this.#tell({ does: "list" });
    return promise;
  }

  release(id: string): void {
    this.#tell({ does: "release", id });
  }

  async shutdown({ signal, timeout }: CallOptions): Promise<ShutdownReport> {
    this.#isDraining = true;
    const { promise, resolve } = Promise.withResolvers<Told>();
    const call = this.#calls.push(resolve) - 1;
    this.#tell({ does: "shutdown", call });
    const abort = () => this.#tell({ does: "abort", call });
    signal.addEventListener("abort", abort);
    const timer = timeout === undefined ? undefined : setTimeout(abort, timeout);
    const { drained } = await promise;
    clearTimeout(timer);
    const reason = drained ? "drained" : signal.aborted ? "aborted" : "timeout";
    const connections = drained ? [] : await this.connections();
    return { reason, duration: 0, polls: 0, idle: 0, drained: 0, forced: 0, connections };
  }

  // deno-lint-ignore require-await -- what is written to a process in time is done in time
  async close(): Promise<void> {
    this.#isDraining = this.#isClosed = true;
    this.#tell({ does: "close" });
  }

  async dispose(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.stdin!.end();
    await once(this.#child, "exit");
  }
}

function infoOf({ port, state }: { port: number; state: string }): ConnInfo {
  return {
    // The cast: the names are Go's.
    state: state as ConnInfo["state"],
    age: 0,
    remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port },
  };
}

/** Starts a server of Go. */
export function startGo(): Promise<Subject> {
  return new GoSubject().started();
}
