/**
 * The end of this process, which all calls of `graceful` decide together: readiness fails when every call has
 * decided to end, and the process may exit when every call is done.
 */
import { ofProcess } from "../core/process_state.ts";

/** The calls of `graceful` that still run, and finished calls after which the process is meant to end. */
const calls = (): Set<GracefulCall> => ofProcess(newCalls);
const newCalls = () => new Set<GracefulCall>();

/** A call of `graceful`, from its start. */
export class GracefulCall {
  #cause: string | undefined;
  #isDone = false;

  constructor() {
    calls().add(this);
  }

  /** Why the call ends; undefined until the end is decided. */
  get cause(): string | undefined {
    return this.#cause;
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** Records the cause of the end. Must be called before anything else is done about the end. */
  decide(cause: string): void {
    this.#cause = cause;
  }

  /** Records that the call is over. If the process `livesOn`, the call no longer counts. */
  done(livesOn: boolean): void {
    this.#isDone = true;
    if (livesOn) calls().delete(this);
  }
}

/** Returns why this process ends. Undefined until every call of `graceful` has decided to end. */
export function endOfProcess(): string | undefined {
  const causes = [...calls()].map(({ cause }) => cause);
  return causes.includes(undefined) ? undefined : causes[0];
}

/** Reports whether no call has anything left to do. */
export function areAllDone(): boolean {
  return [...calls()].every(({ isDone }) => isDone);
}
