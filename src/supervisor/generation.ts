import type { InheritedSocket } from "../listener/handover.ts";
import { Crashes } from "./crashes.ts";
import type { SupervisorEvent, WorkerName } from "./events.ts";
import { exitCodeOf, Worker, type WorkerEnd, type WorkerPlan } from "./worker.ts";

/** The plan of a generation: what its workers have in common, and the listeners of each worker. */
export interface GenerationPlan extends Omit<WorkerPlan, "listeners"> {
  /** Returns the listeners of the worker in a place. */
  listenersOf(place: number): readonly InheritedSocket[];
}

/** The functions of the supervisor that a generation calls. */
export interface GenerationOwner {
  readonly minUptime: number;
  /** Returns a number that no other worker has. */
  nextWorker(): number;
  /** Reports whether a worker of the service has ever said that it is ready. */
  hasHeardReady(): boolean;
  /** Called when a worker has said that it is ready. */
  heardReady(): void;
  /** Called with the exit code of a worker when the workers of its place have crashed too often. */
  onLoop(exitCode: number): void;
  /** Called when a worker that has ended by itself is replaced. */
  onRestart(): void;
  /** Called when the readiness of the generation may have changed. */
  onChange(): void;
  emit(event: SupervisorEvent): void;
}

/** A place for one worker. When the worker ends by itself, another worker takes the place. */
interface Place {
  worker: Worker;
  readonly crashes: Crashes;
  pause: ReturnType<typeof setTimeout> | undefined;
}

/** The workers that were started with the same command, environment and folder. */
export class Generation {
  readonly #plan: GenerationPlan;
  readonly #owner: GenerationOwner;
  readonly #places: Place[] = [];
  /** The workers that have not ended, including workers without a place. */
  readonly #workers = new Set<Worker>();
  /** Whether the generation serves, so that a worker that ends is replaced. */
  #isInCharge: boolean;
  #worst = 0;
  #trial: Trial | undefined;

  constructor(plan: GenerationPlan, owner: GenerationOwner, isInCharge: boolean) {
    this.#plan = plan;
    this.#owner = owner;
    this.#isInCharge = isInCharge;
  }

  get number(): number {
    return this.#plan.generation;
  }

  /** The workers that have not ended. */
  get workers(): readonly Worker[] {
    return [...this.#workers];
  }

  /** Whether every place has a worker that is ready. */
  get isReady(): boolean {
    return this.#places.length > 0 && this.#places.every(({ worker }) => worker.isReady);
  }

  /** The places whose worker is ready. */
  get readyPlaces(): readonly number[] {
    return [...this.#places.keys()].filter((place) => this.#places[place]!.worker.isReady);
  }

  /** Starts or ends workers until their number is `count`. */
  resize(count: number): void {
    while (this.#places.length < count) this.#addPlace();
    for (const place of this.#places.splice(count)) close(place, "SIGTERM");
    this.#check();
  }

  /**
   * Resolves with undefined when every worker has been ready for `minUptime` ms, or with the reason of the failure if
   * a worker has ended or was late before that.
   */
  proven(): Promise<string | undefined> {
    this.#trial = new Trial(this.#owner.minUptime);
    this.#check();
    return this.#trial.result;
  }

  /** Makes this generation the current generation, whose workers are replaced when they end. */
  takeCharge(): void {
    this.#trial = undefined;
    this.#isInCharge = true;
  }

  /** Sends a signal to the workers that are ready. Other workers may not handle the signal yet. */
  signal(signal: NodeJS.Signals): void {
    for (const worker of this.#workers) if (worker.isReady) worker.signal(signal);
  }

  /** Tells all workers to end, except workers that were told before. */
  end(signal: NodeJS.Signals): void {
    this.#trial?.fail("it was told to end");
    for (const place of this.#places.splice(0)) close(place, signal);
    for (const worker of this.#workers) worker.end(signal);
  }

  /** Passes a signal on to all workers, even to workers that were told to end. */
  press(signal: NodeJS.Signals): void {
    for (const worker of this.#workers) worker.signal(signal);
  }

  async kill(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.kill()));
  }

  /** Resolves with the highest exit code of the workers, once all of them have ended after {@linkcode end}. */
  async ended(): Promise<number> {
    while (this.#workers.size > 0) await Promise.all(this.workers.map(({ ended }) => ended));
    return this.#worst;
  }

  #addPlace(): void {
    const crashes = new Crashes(this.#owner.minUptime);
    const worker = this.#startWorker(this.#places.length);
    this.#places.push({ worker, crashes, pause: undefined });
  }

  #startWorker(place: number): Worker {
    const plan = { ...this.#plan, listeners: this.#plan.listenersOf(place) };
    const worker = new Worker(this.#owner.nextWorker(), plan, {
      onSpeak: () => this.#owner.heardReady(),
      isExpectedToSpeak: () => this.#owner.hasHeardReady(),
      onReady: (worker, hasSaid) => this.#onReady(worker, hasSaid),
      onLate: (worker) => this.#onLate(worker),
      onEnd: (worker, end) => this.#onEnd(worker, end),
    });
    this.#workers.add(worker);
    if (worker.pid !== undefined) this.#owner.emit({ type: "started", ...nameOf(worker) });
    return worker;
  }

  #onReady(worker: Worker, hasSaid: boolean): void {
    this.#owner.emit({ type: "ready", hasSaid, duration: worker.age, ...nameOf(worker) });
    this.#check();
  }

  #onLate(worker: Worker): void {
    const { readyTimeout } = this.#plan;
    this.#owner.emit({ type: "late", readyTimeout, ...nameOf(worker) });
    this.#trial?.fail(`worker ${worker.number} was not ready within ${seconds(readyTimeout)}`);
  }

  #onEnd(worker: Worker, end: WorkerEnd): void {
    this.#workers.delete(worker);
    const place = this.#places.find((place) => place.worker === worker);
    this.#owner.emit({
      type: "ended",
      code: end.code,
      signal: end.signal,
      error: end.error,
      isExpected: place === undefined,
      ...nameOf(worker),
    });
    if (place !== undefined) this.#onCrash(place, end);
    else if (worker.uptime !== undefined) this.#worst = Math.max(this.#worst, exitCodeOf(end));
    this.#check();
  }

  /** Handles the end of a worker that was not told to end. */
  #onCrash(place: Place, end: WorkerEnd): void {
    const { worker, crashes } = place;
    if (!this.#isInCharge) {
      this.#trial?.fail(`worker ${worker.number} ${howEnded(worker, end)}`);
      return;
    }
    crashes.add(worker.uptime);
    if (crashes.isLoop) {
      const exitCode = exitCodeOf(end);
      this.#owner.emit({ type: "looping", exitCode, ...nameOf(worker) });
      this.#owner.onLoop(exitCode);
      return;
    }
    const { pause } = crashes;
    this.#owner.emit({ type: "restarting", pause, ...nameOf(worker) });
    place.pause = setTimeout(() => {
      this.#owner.onRestart();
      place.worker = this.#startWorker(this.#places.indexOf(place));
    }, pause);
  }

  /** The number of milliseconds for which every worker has been ready; undefined if a worker is not ready. */
  get #uptime(): number | undefined {
    if (!this.isReady) return undefined;
    return Math.min(...this.#places.map(({ worker }) => worker.uptime!));
  }

  #check(): void {
    this.#trial?.check(this.#uptime);
    this.#owner.onChange();
  }
}

/** The trial of a new generation, whose workers all have to stay ready for `minUptime` ms. */
class Trial {
  /** Resolves with the reason why the generation has failed, or with undefined if the generation has passed. */
  readonly result: Promise<string | undefined>;
  readonly #minUptime: number;
  readonly #resolve: (why: string | undefined) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(minUptime: number) {
    this.#minUptime = minUptime;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.result = promise;
    this.#resolve = resolve;
  }

  /** Starts the time when all workers are ready. A worker that joins later restarts the time. */
  check(uptime: number | undefined): void {
    if (uptime === undefined) return this.cancel();
    const left = Math.max(0, this.#minUptime - uptime);
    this.#timer ??= setTimeout(() => this.#resolve(undefined), left);
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  fail(why: string): void {
    this.cancel();
    this.#resolve(why);
  }
}

/** Ends the worker of a place, which gets no other worker. */
function close(place: Place, signal: NodeJS.Signals): void {
  clearTimeout(place.pause);
  place.worker.end(signal);
}

function nameOf({ number, generation, pid }: Worker): WorkerName {
  return { worker: number, generation, pid };
}

function howEnded(worker: Worker, { code, signal }: WorkerEnd): string {
  const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
  return worker.uptime === undefined
    ? `${how} before it was ready`
    : `${how} ${seconds(worker.uptime)} after it was ready`;
}

function seconds(ms: number): string {
  return `${Number((ms / 1_000).toFixed(1))} s`;
}
