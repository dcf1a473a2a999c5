import { setImmediate } from "node:timers";
import type { Addr } from "../../../src/core/addr.ts";
import type { ConnState, RequestInFlight } from "../../../src/core/conn.ts";
import type { Conn } from "../../../src/server/conn_table.ts";

/** How a connection ended, in the words of a report. */
export type Fate = "idle" | "drained" | "forced";

/** What a connection tells the schedule it is part of. */
export interface ConnEvents {
  /** The connection is gone. */
  gone(conn: ScriptedConn): void;
  /** The server has done with the connection what it must not do. */
  misuse(what: string): void;
  /** Whether a connection may be ended that is not idle. */
  mayDestroy(): boolean;
}

/**
 * A connection that does what the schedule says. It ends in the turn after it was told to, as a socket does.
 */
export class ScriptedConn implements Conn {
  readonly name: string;
  readonly acceptedAt: number;
  readonly remoteAddr: Addr;
  /** Undefined until the connection ends. */
  fate: Fate | undefined;
  /** Since when the connection has been idle. */
  idleSince = 0;
  /** Whether the server was told that the connection has become idle. */
  isNoticed = true;
  #state: ConnState;
  #onChange: (() => void) | undefined;
  readonly #events: ConnEvents;

  constructor(name: string, state: ConnState, acceptedAt: number, events: ConnEvents) {
    this.name = name;
    this.#state = state;
    this.acceptedAt = acceptedAt;
    this.remoteAddr = { transport: "unix", path: name };
    this.#events = events;
  }

  state(): ConnState {
    return this.#state;
  }

  request(): RequestInFlight | undefined {
    return this.#state === "active"
      ? { method: "GET", path: "/", since: this.acceptedAt }
      : undefined;
  }

  startDrain(onChange: () => void): void {
    this.#onChange = onChange;
  }

  closeIdle(now: number): void {
    const isOld = this.#state === "new" && now - this.acceptedAt >= 5_000;
    if (this.#state !== "idle" && !isOld) this.#misuse("a poll closed");
    this.#end("idle");
  }

  destroy(): void {
    if (!this.#events.mayDestroy()) this.#misuse("without close(), the server destroyed");
    this.#end("forced");
  }

  /** A request arrives. */
  begin(): void {
    this.#state = "active";
  }

  /** The request is answered. Engines that see no end of a response do not announce it. */
  answer(now: number, isAnnounced: boolean): void {
    this.#state = "idle";
    this.idleSince = now;
    this.isNoticed = isAnnounced;
    if (isAnnounced) this.#onChange?.();
  }

  /** The connection ends by itself. */
  leave(): void {
    this.#state = "closed";
    this.fate = "drained";
    this.#events.gone(this);
  }

  #end(fate: Fate): void {
    this.#state = "closed";
    this.fate = fate;
    setImmediate(() => this.#events.gone(this));
  }

  #misuse(what: string): void {
    const age = `${this.#state}, accepted at ${this.acceptedAt} ms`;
    this.#events.misuse(`${what} connection ${this.name}, which was ${age}`);
  }
}
