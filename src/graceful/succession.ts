import { ofProcess } from "../core/process_state.ts";
import process from "node:process";
import { type Addr, sameAddr, shownAddr } from "../core/addr.ts";
import { UpgradeError } from "../core/errors.ts";
import type { Server } from "../server/server.ts";
import { leftBySupervisor } from "../listener/inheritance.ts";
import { openListeners } from "../listener/shared_listener.ts";
import { ControllingTerminal } from "../runtime/linux/controlling_terminal.ts";
import {
  obstacleTo,
  startServing,
  startUpgrade,
  type Upgrader,
  upgraderOfProcess,
} from "../upgrade/upgrader.ts";
import { drainingPredecessor } from "../upgrade/predecessor.ts";
import type { EventSink } from "./events.ts";

/**
 * The upgrades of this process, for one call of {@linkcode graceful}: taking over from a predecessor, and starting a
 * successor.
 */
export class Succession {
  readonly #upgrader: Upgrader;
  /** Whether this call of `graceful` handles upgrades for the process. Only one of several calls does. */
  readonly #isInCharge: boolean;
  readonly #signal: NodeJS.Signals | undefined;
  readonly #events: EventSink;
  /** Resolves when a successor has taken over. */
  readonly succeeded: Promise<void>;
  readonly #onSuccess: () => void;
  /**
   * Resolves with the signal that announces that the terminal of this process was closed. The signal starts
   * the end.
   */
  readonly hungUp: Promise<string>;
  readonly #onHangup: (signal: string) => void;
  readonly #terminal: ControllingTerminal | undefined;
  /** The upgrade that is under way. */
  #upgrade: Promise<void> | undefined;
  #isEnding = false;
  /** Whether a signal waits for the end of the predecessor. */
  #isWaiting = false;

  /**
   * `signal` is the signal to upgrade on. `events` receives an event for each failed upgrade and each ignored signal.
   *
   * @throws {UpgradeError} If a server cannot be handed over.
   */
  constructor(
    servers: readonly Server[],
    signal: NodeJS.Signals | undefined,
    upgrader: Upgrader | undefined,
    events: EventSink,
  ) {
    for (const server of signal === undefined ? [] : servers) refuseUnlessSharable(server);
    this.#upgrader = upgrader ?? upgraderOfProcess();
    this.#isInCharge = signal !== undefined || upgrader !== undefined;
    this.#signal = signal;
    this.#events = events;
    const hangup = Promise.withResolvers<string>();
    this.hungUp = hangup.promise;
    this.#onHangup = hangup.resolve;
    if (signal === "SIGHUP") this.#terminal = new ControllingTerminal();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.succeeded = promise;
    this.#onSuccess = resolve;
    waitersOf(this.#upgrader).add(resolve);
  }

  /**
   * Starts to serve, replacing the predecessor if there is one, and to listen to the signal. Warns about each socket of
   * a supervisor on which none of the servers listens.
   */
  async begin(servers: readonly Server[]): Promise<void> {
    if (this.#signal !== undefined) process.on(this.#signal, this.#onSignal);
    await startServing(this.#upgrader);
    for (const { addr } of leftBySupervisor()) {
      if (servers.some((server) => listensAt(server, addr))) continue;
      console.warn(
        `The socket ${
          shownAddr(addr)
        } of the supervisor was not asked for by this program: its clients wait in vain, ` +
          "unless other code accepts on it. Give serve() this hostname and port, or path",
      );
    }
  }

  /** Whether a successor is ready. The accept queues of this process may still hold connections. */
  get isSucceeded(): boolean {
    return this.#upgrader.hasSuccessor;
  }

  /** Refuses further upgrades, and resolves when none is under way. Must be called when the end begins. */
  async end(): Promise<void> {
    this.#isEnding = true;
    if (this.#isInCharge) this.#upgrader.stop();
    await this.#upgrade;
    if (this.#upgrader.hasSuccessor) await this.#upgrader.exit;
  }

  release(): void {
    this.#terminal?.release();
    waitersOf(this.#upgrader).delete(this.#onSuccess);
    if (this.#signal !== undefined) process.off(this.#signal, this.#onSignal);
  }

  #onSignal = async (signal: string): Promise<void> => {
    if (await this.#terminal?.goesAway()) {
      if (!this.#terminal?.isOutlived) return this.#onHangup(signal);
      const why = "the terminal was closed, and nohup keeps this process alive";
      return this.#events.emit({ type: "ignored", signal, why });
    }
    // An upgrade is already waiting, and one is enough.
    if (this.#isWaiting) return;
    try {
      await this.#predecessorGone(signal);
      const why = obstacleTo(this.#upgrader);
      if (why === undefined) await this.#startUpgrade();
      else if (!this.#isEnding) this.#events.emit({ type: "ignored", signal, why });
    } catch (error) {
      // An upgrade that was canceled because the process ends has not failed.
      if (!this.#isEnding) this.#events.failed("the upgrade", error);
    }
  };

  async #predecessorGone(signal: string): Promise<void> {
    this.#isWaiting = true;
    try {
      await startServing(this.#upgrader);
      const predecessor = drainingPredecessor();
      if (predecessor !== undefined) {
        this.#events.emit({ type: "upgrade-waiting", signal, predecessor });
      }
      await this.#upgrader.predecessorGone;
    } finally {
      this.#isWaiting = false;
    }
  }

  async #startUpgrade(): Promise<void> {
    const start = performance.now();
    const upgrade = startUpgrade(
      this.#upgrader,
      (start) => this.#events.emit({ type: "upgrade-started", ...start }),
    );
    this.#upgrade = upgrade.then(() => {}, () => this.#upgrade = undefined);
    const successor = await upgrade;
    this.#events.emit({
      type: "upgrade-ready",
      successor,
      duration: performance.now() - start,
    });
  }
}

/** The functions that wait for the successor of each Upgrader. */
const waiters = () => ofProcess(newWaiters);
const newWaiters = () => new WeakMap<Upgrader, Set<() => void>>();

/**
 * Returns the set of functions to call when a successor has taken over. A single callback of the promise calls all
 * of them: a callback for each call of `graceful` could not be removed, and would stay in memory after the call.
 */
function waitersOf(upgrader: Upgrader): Set<() => void> {
  const known = waiters().get(upgrader);
  if (known !== undefined) return known;
  const waiting = new Set<() => void>();
  waiters().set(upgrader, waiting);
  upgrader.exit.then(() => {
    for (const resolve of waiting) resolve();
  });
  return waiting;
}

function listensAt(server: Server, addr: Addr): boolean {
  try {
    return sameAddr(server.addr, addr);
  } catch {
    // An adopted server may not have listened yet.
    return false;
  }
}

function refuseUnlessSharable(server: Server): void {
  const isSharable = server.handoff !== undefined ||
    openListeners().some(({ addr }) => sameAddr(addr, server.addr));
  if (isSharable) return;
  throw new UpgradeError(
    `Cannot upgrade on a signal: ${server.url} was not started with \`handoff\`, and does not listen on ` +
      "a descriptor of listen(). Start it with serve() and 'handoff', or make it listen on such a " +
      "descriptor, which works for any server on Node and for servers of node:net on Bun",
  );
}
