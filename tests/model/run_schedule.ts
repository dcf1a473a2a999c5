/** Drives a real server and real clients through a schedule, and compares what is seen with the model. */
import process from "node:process";
import { setImmediate } from "node:timers";
import { connect, type RawClient, request as textOf } from "../../support/client.ts";
import type { ConnInfo, ShutdownReport } from "../../mod.ts";
import { type Exceptions, exceptionsOf, type Kind } from "./exceptions.ts";
import {
  after,
  afterDeadlines,
  callsFirst,
  type ClientView,
  initial,
  isPossible,
  type Listed,
  type Report,
  type State,
  type View,
  view,
} from "./model.ts";
import {
  type Burst,
  CLIENTS,
  type Part,
  PARTS,
  type Plan,
  type PlanName,
  PLANS,
  type Schedule,
  type Step,
} from "./schedule.ts";
import { startGo } from "./go_subject.ts";
import { start, type Subject } from "./subject.ts";

/** The number of milliseconds that a server has to do what the model says, which it does at once. */
const PATIENCE = Number(process.env["MODEL_PATIENCE"] ?? 3_000);
/** The number of milliseconds for which one of several outcomes has to last. */
const SETTLING = 15;
/** The `timeout` of a shutdown that is to end before the drain does, in ms. */
const SHORT = 150;
/** An `idleGrace` that does not end within a schedule, in ms. */
const LONG = 600_000;

/** A difference between a server and the model. */
export class Difference extends Error {
  override readonly name = "Difference";
}

/** A client of a schedule, and what it has seen. */
class Client {
  raw: RawClient | undefined;
  refused = 0;
  /** The number of requests whose handlers may go on. */
  released = 0;
  port: number | undefined;
  /** The names of the requests that the client has begun. */
  readonly begun: PlanName[] = [];
  #last: { bytes: string[]; sent: number } | undefined;
  #ended: "end" | "reset" | undefined;
  #left = false;
  readonly #index: number;
  /** What the client does one after the other. */
  #queue: Promise<void> = Promise.resolve();

  constructor(index: number) {
    this.#index = index;
  }

  /** Has the client do something when it has done everything before. */
  soon(action: () => Promise<void> | void): Promise<void> {
    return this.#queue = this.#queue.then(action);
  }

  async connect(subject: Subject, isSecure: boolean): Promise<void> {
    try {
      this.raw = await connect(subject.addr, isSecure ? { alpn: "http/1.1" } : {});
      this.port = this.raw.socket.localPort;
      this.raw.closed.then((how) => this.#ended = how);
    } catch {
      this.refused++;
    }
  }

  send(plan: PlanName, upTo: Part): void {
    if (this.raw === undefined) return;
    if (this.#last === undefined || this.#last.sent === this.#last.bytes.length) {
      const id = `${this.#index}.${this.begun.length}`;
      this.begun.push(plan);
      this.#last = { bytes: piecesOf(PLANS[plan], id), sent: 0 };
    }
    const { bytes, sent } = this.#last;
    const end = Math.min(
      bytes.length,
      PARTS.indexOf(upTo) + 1,
    );
    this.raw.write(bytes.slice(sent, end).join(""));
    this.#last.sent = end;
  }

  /** Answers the close frame of a WebSocket. */
  answer(): void {
    this.raw?.socket.write(new Uint8Array([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]));
  }

  leave(how: "end" | "reset"): void {
    this.#left = true;
    // Unix sockets have no reset.
    if (how === "reset" && this.port === undefined) this.raw?.socket.destroy();
    else if (how === "reset") this.raw?.vanish();
    else this.raw?.socket.end();
  }

  /** What the client has seen until now. */
  seen(handled: readonly string[]): ClientView | null {
    if (this.raw === undefined) return null;
    const own = handled.filter((id) => id.startsWith(`${this.#index}.`));
    const { responses, partial } = responsesIn(
      this.raw.received,
      this.begun.map((name) => PLANS[name]),
      this.raw.isOver,
    );
    const fate = this.#left
      ? "left"
      : this.#ended === "reset"
      ? "reset"
      : this.#ended === "end" || this.raw.isOver
      ? "closed"
      : "open";
    return { responses, partial, handled: callsFirst(own), fate };
  }
}

const UPGRADE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/** The parts of a request, in the order of {@linkcode PARTS}; one without a body has two. */
function piecesOf(plan: Plan, id: string): string[] {
  const headers = [
    ...(plan.body === "length" ? ["Content-Length: 10"] : []),
    ...(plan.body === "chunked" ? ["Transfer-Encoding: chunked"] : []),
    ...(plan.expects ? ["Expect: 100-continue"] : []),
    ...(plan.saysClose ? ["Connection: close"] : []),
    ...(plan.path === "ws" ? UPGRADE : []),
  ];
  const text = textOf(`${plan.method} /${plan.path}/${id}`, ...headers);
  const head = plan.version === undefined ? text : text.replace("HTTP/1.1", "HTTP/1.0");
  const half = head.indexOf("Ho") + 2;
  const body = {
    none: [],
    length: ["12345", "67890"],
    chunked: ["5\r\n12345\r\n", "5\r\n67890\r\n0\r\n\r\n"],
  }[plan.body ?? "none"];
  return [head.slice(0, half), head.slice(half), ...body];
}

/** Reads the responses to requests, as the model writes them. */
function responsesIn(
  received: string,
  plans: readonly Plan[],
  isOver: boolean,
): { responses: string[]; partial: string | null } {
  const responses: string[] = [];
  let rest = received;
  for (const plan of plans) {
    for (;;) {
      const end = rest.indexOf("\r\n\r\n");
      if (end < 0) return { responses, partial: rest === "" ? null : `half a head: ${rest}` };
      const head = rest.slice(0, end).toLowerCase();
      rest = rest.slice(end + 4);
      const status = head.split(" ")[1]!;
      if (status === "100") {
        responses.push(status);
        continue;
      }
      if (status === "101") return { responses: [...responses, status], partial: frameIn(rest) };
      // The refusal of a request that was not sent in full.
      if (status === "400" || status === "503") return { responses, partial: "refused" };
      const isOld = plan.version === "1.0" && !head.includes("\r\nconnection: keep-alive");
      const says = isOld || /\r\nconnection: *close/.test(head) ? "close" : "keep-alive";
      const isEmpty = plan.method === "HEAD" || status === "204";
      const { body, size } = bodyOf(head, rest, isEmpty, isOver);
      const text = `${status} ${says} ${body}`;
      if (size === undefined) return { responses, partial: text };
      responses.push(text.trimEnd());
      rest = rest.slice(size);
      break;
    }
  }
  return { responses, partial: rest === "" ? null : `unasked: ${rest}` };
}

/** Reads the frame at the start of what a WebSocket has received. */
function frameIn(text: string): string | null {
  if (text === "") return null;
  if (text.charCodeAt(0) !== 0x88 || text.length < 4) return `a frame of ${text.length} bytes`;
  return `close ${text.charCodeAt(2) * 256 + text.charCodeAt(3)}`;
}

/** Reads the body at the start of a text. The size is undefined while it is not complete. */
function bodyOf(
  head: string,
  text: string,
  isEmpty: boolean,
  isOver: boolean,
): { body: string; size?: number } {
  if (isEmpty) return { body: "", size: 0 };
  const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
  if (length !== undefined) {
    const size = Number(length);
    return text.length < size ? { body: text } : { body: text.slice(0, size), size };
  }
  if (!head.includes("\r\ntransfer-encoding: chunked")) {
    return isOver ? { body: text, size: text.length } : { body: text };
  }
  let body = "";
  for (let at = 0;;) {
    const line = /^([0-9a-f]+)\r\n/i.exec(text.slice(at));
    if (line === null) return { body };
    const size = parseInt(line[1]!, 16);
    const next = at + line[0].length + size + 2;
    if (text.length < next) return { body };
    body += text.slice(at + line[0].length, next - 2);
    if (size === 0) return { body, size: next };
    at = next;
  }
}

/** A call of `shutdown`, and its report once it has ended. */
interface Call {
  report: ShutdownReport | undefined;
  readonly controller: AbortController;
}

/** One schedule on one server. */
class Run {
  readonly #kind: Kind;
  readonly #subject: Subject;
  readonly #clients = Array.from({ length: CLIENTS }, (_, index) => new Client(index));
  readonly #calls: Call[] = [];
  readonly #failures: unknown[] = [];
  /** Every state that the server may be in. */
  #states: State[] = [initial(CLIENTS)];
  /** The steps that were taken, and not left out. */
  readonly taken: Step[][] = [];

  constructor(kind: Kind, subject: Subject) {
    this.#kind = kind;
    this.#subject = subject;
  }

  async burst(burst: Burst): Promise<void> {
    const exceptions = exceptionsOf(this.#kind);
    const steps = possibleSteps(this.#states, burst, exceptions);
    if (steps.length === 0) return;
    this.taken.push(steps);
    this.#states = afterBurst(this.#states, steps, exceptions);
    await Promise.all(steps.map((step) => this.#take(step)));
    await this.#agree();
  }

  #take(step: Step): Promise<void> | void {
    switch (step.does) {
      case "shutdown":
        return this.#shutDown(
          step.idleGrace ? LONG : 0,
          step.until === "timeout" ? SHORT : undefined,
        );
      case "abort":
        return this.#calls.find(({ report, controller }) =>
          report === undefined && !controller.signal.aborted
        )?.controller.abort();
      case "close":
        this.#subject.close().catch((error) => this.#failures.push(error));
        return;
    }
    const client = this.#clients[step.client]!;
    return client.soon(() => {
      switch (step.does) {
        case "connect":
          return client.connect(this.#subject, this.#kind.transport === "tls");
        case "send":
          return client.send(step.request, step.upTo);
        case "answer":
          return client.answer();
        case "release":
          if (client.raw === undefined) return;
          return this.#subject.release(`${step.client}.${client.released++}`);
        default:
          return client.leave(step.does);
      }
    });
  }

  #shutDown(idleGrace: number, timeout: number | undefined): void {
    const controller = new AbortController();
    const call: Call = { report: undefined, controller };
    this.#calls.push(call);
    this.#subject.shutdown({ idleGrace, signal: controller.signal, ...(timeout && { timeout }) })
      .then((report) => call.report = report, (error) => this.#failures.push(error));
  }

  /** Waits until the server and its clients are what the model says. */
  async #agree(): Promise<void> {
    const exceptions = exceptionsOf(this.#kind);
    const expected = this.#states.map((state) => this.#visible(view(state, exceptions)));
    let end = performance.now() + PATIENCE;
    let isSettling = false;
    for (let seen = await this.#look();; seen = await this.#look()) {
      if (this.#failures.length > 0) throw this.#failures[0];
      const fitting = expected.map((view) => fits(view, seen));
      const isOver = performance.now() > end;
      if (fitting.includes(true)) {
        // Of several outcomes, one may look for a moment as if it were the other.
        if (!isSettling && expected.length > 1) end = performance.now() + SETTLING;
        else if (!isSettling || isOver) {
          this.#states = this.#states.filter((_, index) => fitting[index]);
          return;
        }
        isSettling = true;
      } else if (isSettling || isOver) {
        if (isOver) throw new Difference(describe(this.taken, expected, seen));
        isSettling = false;
        end = performance.now() + PATIENCE;
      }
    }
  }

  /** What of a view can be seen on this kind of server. */
  #visible(view: View): View {
    if (this.#kind.engine === "go") return asGoShows(view);
    return this.#kind.transport === "unix" ? withoutClients(view) : view;
  }

  async #look(): Promise<View> {
    await turns();
    const connections = await this.#subject.connections();
    return {
      server: await this.#subject.state(),
      connections: this.#listed(connections),
      clients: this.#clients.map((client) => client.seen(this.#subject.handled)),
      refused: this.#clients.map(({ refused }) => refused),
      calls: this.#calls.map(({ report }) =>
        report === undefined ? "pending" : this.#report(report)
      ),
    };
  }

  #report({ reason, idle, drained, forced, connections }: ShutdownReport): Report {
    return { reason, idle, drained, forced, connections: this.#listed(connections) };
  }

  /** Connections as the model lists them. */
  #listed(connections: readonly ConnInfo[]): Listed[] {
    const list = connections.map(({ state, method, path, remoteAddr }) => ({
      client: this.#clients.findIndex(({ port }) =>
        remoteAddr.transport === "tcp" && remoteAddr.port === port
      ),
      // The cast: no list has closed connections.
      state: state as Listed["state"],
      request: path === undefined ? "" : `${method} ${path}`,
    }));
    return sorted(list);
  }

  dispose(): void {
    for (const { raw } of this.#clients) raw?.socket.destroy();
  }

  /** Ends what the schedule has left, and sees that the drain ends then. */
  async finish(): Promise<void> {
    for (let client = 0; client < CLIENTS; client++) await this.burst([{ does: "end", client }]);
    for (let client = 0; client < CLIENTS; client++) {
      for (let request = 0; request < 3; request++) await this.burst([{ does: "release", client }]);
    }
    await this.burst([{ does: "shutdown", idleGrace: false, until: "end" }]);
  }
}

/** The addresses of unix sockets do not tell one client from another. */
function withoutClients(view: View): View {
  const nameless = (list: readonly Listed[]) =>
    sorted(list.map((listed) => ({ ...listed, client: -1 })));
  return withLists(view, nameless, (report) => report);
}

/** Go has no reports and knows no requests. What its Shutdown tells after Close is that nothing is left. */
function asGoShows(view: View): View {
  const nameless = (list: readonly Listed[]) => list.map((listed) => ({ ...listed, request: "" }));
  const shown = withLists(view, nameless, (report) => ({
    ...report,
    reason: report.reason === "closed" ? "drained" : report.reason,
    idle: 0,
    drained: 0,
    forced: 0,
  }));
  return { ...shown, server: view.server === "serving" ? "serving" : "draining" };
}

function withLists(
  view: View,
  change: (list: readonly Listed[]) => Listed[],
  changeReport: (report: Report) => Report,
): View {
  return {
    ...view,
    connections: change(view.connections),
    calls: view.calls.map((call) =>
      call === "pending" ? call : changeReport({ ...call, connections: change(call.connections) })
    ),
  };
}

/** Sorts a list by client. The address of one may be unknown, but its request tells who it is. */
function sorted(list: readonly Listed[]): Listed[] {
  const key = ({ client, state, request }: Listed) =>
    `${/\/(\d)\./.exec(request)?.[1] ?? client} ${state} ${request}`;
  return [...list].sort((a, b) => key(a) < key(b) ? -1 : 1);
}

/** Lets the event loop turn a few times, in which bytes on loopback are read and answered. */
async function turns(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Returns the steps of a burst that are possible one after the other in every state. */
function possibleSteps(states: readonly State[], burst: Burst, exceptions: Exceptions): Step[] {
  const possible: Step[] = [];
  for (const step of burst) {
    // What one owner does in one turn of the event loop is one call for the other.
    const isSecond = !("client" in step) && possible.some((other) => !("client" in other));
    if (isSecond) continue;
    const reached = afterBurst(states, possible, exceptions);
    if (!reached.every((state) => isPossible(state, step, exceptions))) continue;
    const isTogether = step.does === "send" &&
      possible.some((other) => other.does === "send" && other.client === step.client);
    possible.push(isTogether ? { ...step, isTogether } : step);
  }
  return possible;
}

/** Returns the states after steps that are taken together: in any order, but for those of one client. */
function afterBurst(
  states: readonly State[],
  steps: readonly Step[],
  exceptions: Exceptions,
): State[] {
  const reached = new Map<string, State>();
  for (const order of [steps, withoutLost(steps)].flatMap(ordersOf)) {
    let current = [...states];
    for (const step of order) current = current.flatMap((state) => after(state, step, exceptions));
    current = current.flatMap((state) => afterDeadlines(state, exceptions));
    for (const state of current) reached.set(JSON.stringify(state), state);
  }
  return [...reached.values()];
}

/** Leaves out what a client sends before it resets its connection: a reset overtakes it. */
function withoutLost(steps: readonly Step[]): Step[] {
  return steps.filter((step, index) =>
    step.does !== "send" ||
    !steps.slice(index).some((other) => other.does === "reset" && other.client === step.client)
  );
}

function ordersOf(steps: readonly Step[]): Step[][] {
  if (steps.length === 0) return [[]];
  return steps.flatMap((first, index) => {
    const before = steps.slice(0, index);
    if (before.some((step) => actorOf(step) === actorOf(first))) return [];
    const others = steps.filter((_, other) => other !== index);
    return ordersOf(others).map((rest) => [first, ...rest]);
  });
}

/** Whose steps come one after the other. That a handler may go on is known before or after it is called. */
function actorOf(step: Step): string {
  return "client" in step ? `client ${step.client}` : "owner";
}

/** Reports whether what is seen is what is expected. */
function fits(expected: View, seen: View): boolean {
  const { clients, ...rest } = expected;
  const { clients: seenClients, ...seenRest } = seen;
  return isLike(rest, seenRest) &&
    clients.every((client, index) => {
      const seenClient = seenClients[index]!;
      if (client?.fate !== "left" || seenClient === null) return isLike(client, seenClient);
      // What a client hears that has left, and what is still begun for it, is a matter of chance.
      return seenClient.fate === "left" && isStart(client.handled, seenClient.handled) &&
        isStart(client.responses, seenClient.responses);
    });
}

/** Reports whether one of two lists is the start of the other. */
function isStart(some: readonly string[], others: readonly string[]): boolean {
  return some.every((text, index) => index >= others.length || text === others[index]);
}

/** Compares values. A text that is expected may be several with "or" between them. */
function isLike(expected: unknown, seen: unknown): boolean {
  if (!isObject(expected) || !isObject(seen)) {
    return expected === seen ||
      typeof expected === "string" && expected.split(" or ").includes(String(seen));
  }
  const names = new Set([...Object.keys(expected), ...Object.keys(seen)]);
  return [...names].every((name) => isLike(expected[name], seen[name]));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Says what differs from the nearest of the expected views. */
function describe(taken: readonly Burst[], expected: readonly View[], seen: View): string {
  const differences = expected.map((view) => differencesOf("", view, seen));
  const nearest = differences.reduce((a, b) => a.length <= b.length ? a : b);
  const others = expected.length > 1 ? `, nor any of ${expected.length - 1} other outcomes` : "";
  return [
    `The server is not what the model says${others}:`,
    ...nearest.map((line) => `  ${line}`),
    "after",
    ...taken.map((steps, index) => `  ${index + 1}. ${steps.map(told).join(" | ")}`),
  ].join("\n");
}

function told({ does, ...rest }: Step): string {
  return [does, ...Object.entries(rest).map(([name, value]) => `${name}: ${value}`)].join(" ");
}

function differencesOf(where: string, expected: unknown, seen: unknown): string[] {
  if (isLike(expected, seen)) return [];
  if (!isObject(expected) || !isObject(seen)) {
    return [`${where}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(seen)}`];
  }
  const names = new Set([...Object.keys(expected), ...Object.keys(seen)]);
  return [...names].flatMap((name) =>
    differencesOf(where === "" ? name : `${where}.${name}`, expected[name], seen[name])
  );
}

/** Runs a schedule on a new server of a kind. Throws a {@linkcode Difference} if the model is not kept. */
export async function runSchedule(kind: Kind, schedule: Schedule): Promise<void> {
  const subject = await (kind.engine === "go" ? startGo() : start(kind));
  const run = new Run(kind, subject);
  try {
    for (const burst of schedule) await run.burst(burst);
    await run.finish();
  } finally {
    run.dispose();
    await subject.dispose();
  }
}
