import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { freePort } from "../ports.ts";
import { until } from "../until.ts";

/** One of the servers that the load is balanced between. */
export interface Backend {
  readonly name: string;
  /** Its port on 127.0.0.1. */
  readonly port: number;
}

/** What HAProxy does about a connection to a server that fails. */
export interface Forgiveness {
  /**
   * How often it tries again.
   *
   * @default {0}
   */
  readonly retries?: number;
  /**
   * Whether it tries another server then.
   *
   * @default {false}
   */
  readonly redispatch?: boolean;
}

/** What HAProxy thinks of a server, in its own words. */
export interface BackendState {
  /** Such as "UP" or "DOWN". */
  readonly status: string;
  /** What came of the last check, such as "L7OK"; while another one runs, with an asterisk before. */
  readonly check: string;
}

/** The backend's name in the configuration. */
const BACKEND = "service";

/**
 * Runs a program until the input ends, as it does with the process that writes it, even where that
 * is killed. The shell becomes the program: both have the same process id.
 */
const UNTIL_END_OF_INPUT = 'exec 3<&0; (read -r _ <&3; kill $$) >/dev/null 2>&1 & exec "$0" "$@"';

/** An HAProxy of one's own, in front of servers on this machine that have `/readyz`. */
export class HAProxy implements AsyncDisposable {
  /** Where it listens on 127.0.0.1. */
  readonly port: number;
  /** Its configuration, its socket: removed when it is disposed of. */
  readonly folder: string;
  /** The events of its servers, and the requests that failed: line by line. */
  readonly log: string[] = [];
  readonly #child: ChildProcess;
  readonly #socket: string;
  /** What it complains about. */
  readonly #complaints: string[] = [];
  #ended = false;

  private constructor(program: string, port: number, folder: string, configuration: string) {
    this.port = port;
    this.folder = folder;
    this.#socket = join(folder, "admin.sock");
    const file = join(folder, "haproxy.cfg");
    writeFileSync(file, configuration);
    // -db: in the foreground, and one process.
    this.#child = spawn("sh", ["-c", UNTIL_END_OF_INPUT, program, "-db", "-f", file]);
    this.#child.once("error", (error) => this.#onEnd(error.message));
    this.#child.once("close", (code, signal) => this.#onEnd(`It has ended: ${code ?? signal}`));
    createInterface({ input: this.#child.stdout! }).on("line", (line) => this.log.push(line));
    createInterface({ input: this.#child.stderr! }).on("line", (line) => {
      // Its warnings are what the log says.
      if (!line.startsWith("[WARNING]")) this.#complaints.push(line);
    });
    process.on("exit", this.#kill);
  }

  /** Starts it; resolves when it listens. */
  static async start(
    program: string,
    backends: readonly Backend[],
    forgiveness: Forgiveness = {},
  ): Promise<HAProxy> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), "graceful-haproxy-"));
    const configuration = configurationOf(port, folder, backends, forgiveness);
    const haproxy = new HAProxy(program, port, folder, configuration);
    try {
      for (const { name } of backends) await haproxy.isUp(name);
      return haproxy;
    } catch (error) {
      await haproxy[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The state of each server, by its name. */
  async #states(): Promise<Map<string, BackendState>> {
    const [head = "", ...rows] = (await this.#ask("show stat")).trim().split("\n");
    const columns = head.replace(/^# /, "").split(",");
    const records = rows.map((row) => {
      const values = row.split(",");
      return { at: (column: string) => values[columns.indexOf(column)] ?? "" };
    });
    const servers = records.filter(({ at }) => at("pxname") === BACKEND && at("type") === "2");
    return new Map(servers.map(({ at }) => [
      at("svname"),
      { status: at("status"), check: at("check_status") },
    ]));
  }

  /** Resolves when it gives the server requests, because that has said that it is ready. */
  async isUp(name: string): Promise<void> {
    await this.#until(`${name} is not up`, async () => {
      const state = (await this.#states()).get(name);
      // Before the first check it takes every server for up.
      return state?.status === "UP" && state.check.endsWith("L7OK");
    });
  }

  /** Gives a command to its socket; resolves with the answer. */
  #ask(command: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let answer = "";
      const socket = connect(this.#socket).setEncoding("utf8");
      // The cast: with an encoding it emits strings.
      socket.on("data", (text) => answer += text as unknown as string);
      socket.once("end", () => resolve(answer));
      socket.once("error", reject);
      socket.write(`${command}\n`);
    });
  }

  /** Ends it, and removes its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) {
      this.#child.stdin!.end();
      await once(this.#child, "close");
    }
    process.off("exit", this.#kill);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Looks until it is so. */
  async #until(what: string, look: () => Promise<boolean>): Promise<void> {
    const describe = () => `${what}\n${[...this.#complaints, ...this.log].join("\n")}`;
    await until(describe, async () => {
      if (this.#ended) throw new Error(describe());
      // Its socket is not there at once.
      return await look().catch(() => false) || undefined;
    });
  }

  #onEnd(how: string): void {
    this.#ended = true;
    this.#complaints.push(how);
  }

  /** For the case that this process ends in the middle of it. */
  #kill = (): void => {
    this.#child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  };
}

function configurationOf(
  port: number,
  folder: string,
  backends: readonly Backend[],
  { retries = 0, redispatch = false }: Forgiveness,
): string {
  return `
global
  # What happens to the servers, line by line, and each request that failed, with the reason.
  log stdout format raw local0 info
  # Tells the states of the servers.
  stats socket ${join(folder, "admin.sock")} mode 600 level admin
  # The machine may have two cores, for four servers and the clients.
  nbthread 1
  # Checks come when they are due, not up to so many percent later.
  spread-checks 0

defaults
  mode http
  log global
  # With the two letters that say who ended a request and when.
  option httplog
  # Nothing about requests that went well.
  option dontlog-normal
  # Far above what anything takes here: what times out is lost.
  timeout connect 5s
  timeout client 15s
  timeout server 15s
  # Without this a check may take no longer than inter, and a busy server would be taken for down.
  timeout check 3s

frontend clients
  bind 127.0.0.1:${port}
  default_backend ${BACKEND}

backend ${BACKEND}
  balance roundrobin
  # How often a connection that cannot be made is tried again. 0: nothing that fails is hidden.
  retries ${retries}
  # Whether another server is tried then. The same.
  ${redispatch ? "" : "no "}option redispatch
  # Connections to the servers are kept alive, and shared by all clients from their first request
  # on: a server that closes one under a request is found out. By default a client's first request
  # is not sent on a connection that might be closed.
  http-reuse always
  # What a server says about its readiness.
  option httpchk GET /readyz
  # Ready is what says 200, and nothing else.
  http-check expect status 200
  # A check each 100 ms, up or down: one that fails takes the server out, one that succeeds puts it
  # back.
  default-server check inter 100ms fastinter 100ms downinter 100ms fall 1 rise 1
${backends.map(({ name, port }) => `  server ${name} 127.0.0.1:${port}`).join("\n")}
`;
}
