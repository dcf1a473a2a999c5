import { subscribe } from "node:diagnostics_channel";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import process from "node:process";
// Types only: whoever subscribes needs the names of the channels, and not the package.
import type { GracefulChannels } from "@x/graceful";

/** A metric of Prometheus that has one value. */
interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly value: number;
}

/** The end of this process, and the last end before it, as text for Prometheus. */
export class EndMetrics {
  readonly #service: string;
  readonly #file: string | undefined;
  /** When the drain has started, in ms since the end was decided. */
  #drainStart = 0;
  /** How long the drain took, in ms. */
  #drainTime = 0;
  #isEnding = false;
  #left = 0;
  #forced = 0;

  /**
   * `service` tells the services apart whose files one node_exporter reads. `file` keeps the numbers of the end
   * for the next process of the service.
   */
  constructor(service: string, file: string | undefined) {
    this.#service = service;
    this.#file = file;
    this.#on("graceful.ending", () => this.#isEnding = true);
    this.#on("graceful.draining", ({ elapsed, connections }) => {
      this.#drainStart = elapsed;
      this.#left = connections.length;
    });
    this.#on("graceful.waiting", ({ connections }) => this.#left = connections.length);
    this.#on("graceful.forced", ({ connections }) => this.#forced = connections.length);
    this.#on("graceful.drained", ({ elapsed }) => {
      this.#drainTime = elapsed - this.#drainStart;
      this.#left = 0;
    });
    this.#on("graceful.ended", ({ elapsed, report }) => this.#write(elapsed, report.exitCode));
    this.#on("graceful.interrupted", ({ elapsed, exitCode, connections }) => {
      // The cleanup may be interrupted as well, after a drain that has closed some by force.
      this.#forced += connections.length;
      this.#write(elapsed, exitCode);
    });
  }

  /** Returns what a scrape gets. */
  text(): string {
    return this.#textOf([
      {
        name: "graceful_ending",
        help: "Whether the end of the process is decided.",
        value: Number(this.#isEnding),
      },
      {
        name: "graceful_connections_left",
        help: "The connections that the drain waits for.",
        value: this.#left,
      },
    ]) + this.#lastEnd();
  }

  #on<Name extends keyof GracefulChannels>(
    name: Name,
    call: (message: GracefulChannels[Name]) => void,
  ): void {
    // The cast: the table of the channels has the type of each message.
    subscribe(name, (message) => call(message as GracefulChannels[Name]));
  }

  /** Writes at once: after the last event nothing is waited for. A reader finds the old file or the new one. */
  #write(elapsed: number, exitCode: number): void {
    if (this.#file === undefined) return;
    const text = this.#textOf([
      {
        name: "graceful_last_end_timestamp_seconds",
        help: "When a process of this service has last ended.",
        value: Date.now() / 1_000,
      },
      {
        name: "graceful_last_end_duration_seconds",
        help: "How long that end took, from its signal on.",
        value: elapsed / 1_000,
      },
      {
        name: "graceful_last_end_drain_duration_seconds",
        help: "How long its drain took. 0 if a second signal has cut it off.",
        value: this.#drainTime / 1_000,
      },
      {
        name: "graceful_last_end_forced_connections",
        help: "How many connections it has closed by force.",
        value: this.#forced,
      },
      {
        name: "graceful_last_end_exit_code",
        help: "The exit code of that process.",
        value: exitCode,
      },
    ]);
    const temporary = `${this.#file}.${process.pid}`;
    writeFileSync(temporary, text);
    renameSync(temporary, this.#file);
  }

  #lastEnd(): string {
    // The first process of a service has no predecessor.
    if (this.#file === undefined || !existsSync(this.#file)) return "";
    return readFileSync(this.#file, "utf8");
  }

  #textOf(gauges: readonly Gauge[]): string {
    return gauges.map(({ name, help, value }) =>
      `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name}{service="${this.#service}"} ${value}\n`
    ).join("");
  }
}
