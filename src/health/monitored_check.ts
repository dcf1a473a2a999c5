import { nodeUtil } from "../core/builtins.ts";
import { reportError } from "../core/report_error.ts";
import type { Check } from "./options.ts";

/** The result of a check. */
export interface CheckResult {
  readonly name: string;
  /** Why the check has failed; undefined if it has not. */
  readonly error: Error | undefined;
  /** The number of ms that the run took, or has taken so far. */
  readonly duration: number;
}

/** A check, the run under way, and whether the last run failed. */
export class MonitoredCheck {
  readonly #name: string;
  readonly #check: Check;
  readonly #timeout: number;
  readonly #onChange: (error: Error | undefined) => unknown;
  #run: CheckRun | undefined;
  #isFailing = false;

  constructor(
    name: string,
    check: Check,
    timeout: number,
    onChange: (error: Error | undefined) => unknown,
  ) {
    this.#name = name;
    this.#check = check;
    this.#timeout = timeout;
    this.#onChange = onChange;
  }

  /** Resolves with the result of the run under way, and starts a run if there is none. Never rejects. */
  async result(): Promise<CheckResult> {
    const run = this.#run ??= this.#start();
    return { name: this.#name, ...await run.result() };
  }

  /** Ends the current run, because its result is no longer needed. */
  stop(): void {
    this.#run?.stop();
  }

  #start(): CheckRun {
    const run = new CheckRun(this.#check, this.#timeout);
    run.result().then(({ error }) => {
      if (!run.isStopped) this.#note(error);
    });
    run.ended.then(() => this.#run = undefined);
    return run;
  }

  #note(error: Error | undefined): void {
    const isFailing = error !== undefined;
    if (isFailing === this.#isFailing) return;
    this.#isFailing = isFailing;
    // Not waited for: the callback may be asynchronous, and the probe must be answered.
    (async () => await this.#onChange(error))().catch(reportError);
  }
}

/** The result of a run that has ended or timed out. */
type Outcome = Omit<CheckResult, "name">;

/** A run of a check, up to the end of the check itself, which may come long after its timeout. */
class CheckRun {
  /** Resolves when the check has ended. */
  readonly ended: Promise<void>;
  /** Whether the run was stopped, so that its result must not be recorded. */
  isStopped = false;
  readonly #outcome = Promise.withResolvers<Outcome>();
  readonly #start = performance.now();
  readonly #controller = new AbortController();
  #isAborted = false;

  constructor(check: Check, timeout: number) {
    const timer = setTimeout(() => {
      this.#abort(new DOMException(`timed out after ${timeout} ms`, "TimeoutError"));
    }, timeout);
    timer.unref();
    this.ended = failureOf(check, this.#controller.signal).then((error) => {
      clearTimeout(timer);
      this.#settle(error);
    });
  }

  /**
   * Resolves with the result of the run. For a run that was aborted and has not ended, the result is that the run is
   * still going on.
   */
  async result(): Promise<Outcome> {
    if (!this.#isAborted) return await this.#outcome.promise;
    const duration = performance.now() - this.#start;
    return { error: new Error(`still running after ${Math.round(duration)} ms`), duration };
  }

  /** Ends the run at once, because the process ends. */
  stop(): void {
    this.isStopped = true;
    this.#abort(new DOMException("the process ends", "AbortError"));
  }

  /** Makes the run fail with the reason, and aborts the signal of the check with it. */
  #abort(reason: Error): void {
    this.#isAborted = true;
    // The result is settled first, because the check would report the abort as its own failure.
    this.#settle(reason);
    this.#controller.abort(reason);
  }

  /** Records a result, if there is none yet. */
  #settle(error: Error | undefined): void {
    this.#outcome.resolve({ error, duration: performance.now() - this.#start });
  }
}

/** Runs a check, and resolves with the reason of its failure, if it fails. Never rejects. */
async function failureOf(check: Check, signal: AbortSignal): Promise<Error | undefined> {
  try {
    return await check(signal) === false ? new Error("returned false") : undefined;
  } catch (thrown) {
    if (thrown instanceof Error) return thrown;
    const text = typeof thrown === "string" ? thrown : nodeUtil().inspect(thrown);
    return new Error(text, { cause: thrown });
  }
}
