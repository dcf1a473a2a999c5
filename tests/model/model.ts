/**
 * A model of what a shutdown does to each connection: the contract as a state machine, without sockets, time or
 * engines. Tests drive real servers through the same steps and compare.
 *
 * A connection of the model is in one of Go's states, which follows from what it has received and answered:
 *
 * - `new`: nothing was received. It is kept by a drain (for 5 s), and its request is served if it comes.
 * - `active`: a request was received in part, or is not answered in full. It is answered in full. A response whose
 *   head is written during the drain says `Connection: close`, and its connection closes behind it.
 * - `idle`: neither. A poll closes it, unless an `idleGrace` spares it.
 *
 * Where the contract, the wire or an engine leaves open what happens, the model says so by a choice; each choice
 * makes one more state that the server may be in. Exceptions of engines are in `exceptions.ts`.
 */
import { type Part, PARTS, type Plan, type PlanName, PLANS, type Step } from "./schedule.ts";
import type { Exceptions } from "./exceptions.ts";

/** A request, from the first byte that the client has sent of it to the last byte of its response. */
interface Request {
  readonly id: string;
  readonly plan: PlanName;
  sent: Part;
  /** Whether it came together with the request before it. */
  isTogether: boolean;
  /** Whether its handler was called. */
  isHandled: boolean;
  /** Whether its response ends the connection, and says so. */
  isLast: false | "for the client" | "for the server";
  /** The number of requests of the connection before it. */
  readonly index: number;
  /** Whether its handler has read the body. */
  isRead?: true;
  /** Whether a poll has told half of its head from silence. */
  isNoticed?: boolean;
  /** Whether the client was told to send the body. */
  isContinued?: true;
  /** What the head of the response says, once it is written. */
  head?: "close" | "keep-alive";
}

/** A connection, as the server and its client see it. */
interface Conn {
  /** Whether the server has it. One that is closed stays, for what its client has seen. */
  isOpen: boolean;
  /** Whether it is a WebSocket. */
  isHijacked?: true;
  /** The requests that are not answered in full, the oldest first. The last one may not be sent in full. */
  requests: Request[];
  /** How many requests the client has begun. */
  begun: number;
  /** How many of its requests have a handler that may go on. */
  released: number;
  /** How the client has left, or that the server has cut it off. Its handlers may still be busy. */
  left?: "end" | "reset" | "cut";
  /** Whether the server takes the end of the client's side for the end of the connection. */
  isHeard?: boolean;
  /** The ids of the requests whose handlers were called. */
  handled: string[];
  /** What the client has received in full. */
  responses: string[];
  /** The part of a response that the client has received. */
  partial?: string;
  /** Whether it was gone before the drain began, and only a handler is left. */
  isUncounted?: boolean;
  /** Whether a stream goes on although its client has ended its side. */
  isStreamLeft?: true;
  /** Whether the last request that was answered had a body. */
  isBehindBody: boolean;
  /** Whether a close may have met bytes of the client: the kernel then resets the connection. */
  mayBeReset: boolean;
}

/** One call of `shutdown`. */
interface Call {
  readonly idleGrace: boolean;
  /** Whether its deadline is about to pass. */
  isTimed: boolean;
  result?: Report;
}

/** What a report says. */
export interface Report {
  readonly reason: "drained" | "timeout" | "aborted" | "closed" | "drained or timeout";
  readonly idle: number;
  readonly drained: number;
  readonly forced: number;
  readonly connections: readonly Listed[];
}

/** A connection in a list of connections. */
export interface Listed {
  /** The client; also -1 for one whose address may not be known. */
  readonly client: number | `${number} or -1`;
  /** The state. Some engines cannot tell one from the other at once. */
  readonly state: "new" | "active" | "idle" | "hijacked" | "active or idle";
  /** The method and the path of the request in flight, or nothing. */
  readonly request: string;
}

/** Everything that the model knows. */
export interface State {
  server: "serving" | "draining" | "closed";
  /** Whether `close` was called. */
  isClosed: boolean;
  conns: (Conn | undefined)[];
  calls: Call[];
  /** How many attempts of each client to connect were refused. */
  refused: number[];
  /** Whether a call has ended at its deadline: the drain goes on without it, and spares nothing. */
  drainsOn: boolean;
  tally: { idle: number; drained: number; forced: number };
}

/** What can be seen of a server and its clients. */
export interface View {
  readonly server: State["server"];
  readonly connections: readonly Listed[];
  readonly clients: readonly (ClientView | null)[];
  readonly refused: readonly number[];
  readonly calls: readonly (Report | "pending")[];
}

export interface ClientView {
  readonly responses: readonly string[];
  readonly partial: string | null;
  readonly handled: readonly string[];
  readonly fate: "open" | "closed" | "reset" | "closed or reset" | "left";
}

/** Makes a decision that the contract leaves open: returns one of the values. */
type Choose = <T>(...values: readonly T[]) => T;

export function initial(clients: number): State {
  return {
    server: "serving",
    isClosed: false,
    conns: Array.from({ length: clients }, () => undefined),
    calls: [],
    refused: Array.from({ length: clients }, () => 0),
    drainsOn: false,
    tally: { idle: 0, drained: 0, forced: 0 },
  };
}

/** Reports whether a step makes sense in a state. Others are left out of a schedule. */
export function isPossible(state: State, step: Step, exceptions: Exceptions): boolean {
  switch (step.does) {
    case "shutdown":
      return state.calls.length < 4;
    case "abort":
      return state.calls.some(({ result }) => result === undefined);
    case "close":
      return true;
  }
  const conn = state.conns[step.client];
  switch (step.does) {
    case "connect":
      return conn === undefined && state.refused[step.client]! < 2;
    case "release":
      return conn !== undefined && conn.released < conn.begun;
    case "end":
    case "reset":
      return conn !== undefined && conn.isOpen && conn.left === undefined;
    case "answer":
      return conn?.isHijacked === true && conn.isOpen && conn.left === undefined &&
        state.server !== "serving";
    case "send": {
      if (conn === undefined || !conn.isOpen || conn.left !== undefined) return false;
      if (conn.isHijacked) return false;
      const last = conn.requests.at(-1);
      if (last === undefined || last.sent === "all") {
        // An upgrade has its connection for itself.
        if (step.request === "WebSocket") {
          return last === undefined && !exceptions.has("has no WebSockets");
        }
        return conn.requests.length < 2 && last?.plan !== "WebSocket";
      }
      return PARTS.indexOf(step.upTo) > PARTS.indexOf(last.sent);
    }
  }
}

/** Reports whether the client itself has said that a request is its last. */
function isLastByItself(request: Request | undefined): boolean {
  if (request === undefined) return false;
  const { version, saysClose } = planOf(request);
  return version === "1.0" || saysClose === true;
}

/** Returns every state that a server may be in after a step. */
export function after(state: State, step: Step, exceptions: Exceptions): State[] {
  return outcomes((choose) => {
    const next = structuredClone(state);
    // An abort ends the oldest call that waits.
    const aborted = step.does === "abort" ? waitingCalls(next)[0] : undefined;
    take(next, step, exceptions);
    settle(next, exceptions, choose);
    if (aborted !== undefined) endEarly(next, aborted, "aborted", exceptions, choose);
    return next;
  });
}

/** Returns every state that a server may be in when the deadlines have passed of the calls that have one. */
export function afterDeadlines(state: State, exceptions: Exceptions): State[] {
  return outcomes((choose) => {
    const next = structuredClone(state);
    for (const call of next.calls.filter(({ isTimed }) => isTimed)) {
      call.isTimed = false;
      if (call.result === undefined) endEarly(next, call, "timeout", exceptions, choose);
      // The deadline may pass before an engine has told that nothing is left.
      else if (
        call.result.reason === "drained" && exceptions.has("tells late that it has stopped")
      ) {
        call.result = { ...call.result, reason: "drained or timeout" };
      }
    }
    return next;
  });
}

function waitingCalls({ calls }: State): Call[] {
  return calls.filter(({ result }) => result === undefined);
}

/** Ends a call of `shutdown` before the drain is complete, which closes nothing by itself. */
function endEarly(
  state: State,
  call: Call,
  reason: "timeout" | "aborted",
  exceptions: Exceptions,
  choose: Choose,
): void {
  if (call.result !== undefined) return;
  call.result = report(state, reason, listed(state, exceptions));
  state.drainsOn = true;
  settle(state, exceptions, choose);
}

/** Returns what a function returns for every sequence of choices. */
function outcomes<T>(run: (choose: Choose) => T): T[] {
  const results: T[] = [];
  const pending: number[][] = [[]];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const taken = [...path];
    let depth = 0;
    results.push(run((...values) => {
      const index = depth++;
      if (index === taken.length) {
        for (let other = 1; other < values.length; other++) pending.push([...taken, other]);
        taken.push(0);
      }
      return values[taken[index]!]!;
    }));
  }
  return results;
}

/** Changes the state as the step itself does, without what follows from it. */
function take(state: State, step: Step, exceptions: Exceptions): void {
  // A client that was refused a moment before does nothing.
  if ("client" in step && step.does !== "connect" && !state.conns[step.client]) return;
  switch (step.does) {
    case "connect":
      // A listener is closed from the start of the drain on.
      if (state.server === "serving") state.conns[step.client] = newConn();
      else state.refused[step.client]!++;
      break;
    case "send":
      send(step.client, state.conns[step.client]!, step);
      break;
    case "end":
    case "reset":
      // The three runtimes take the end of the client's side for its end.
      state.conns[step.client]!.left = step.does;
      break;
    case "answer":
      end(state, state.conns[step.client]!, "drained", exceptions);
      break;
    case "release":
      state.conns[step.client]!.released++;
      break;
    case "shutdown": {
      const call: Call = { idleGrace: step.idleGrace, isTimed: step.until === "timeout" };
      state.calls.push(call);
      if (state.isClosed) call.result = report(state, "closed");
      if (state.server === "serving") endConnections(state);
      if (state.server === "serving") closeWebSockets(state, exceptions);
      break;
    }
    case "abort":
      break;
    case "close":
      for (const conn of state.conns) {
        if (conn === undefined || !conn.isOpen) continue;
        const isHandled = conn.requests[0]?.isHandled && conn.partial === undefined;
        if (isHandled && exceptions.has("may answer 503 at a close")) {
          conn.partial = "refused or null";
        }
        // A WebSocket may still be told.
        if (conn.isHijacked) conn.partial ??= "close 1001 or null";
        end(state, conn, "forced", exceptions);
        conn.mayBeReset = true;
      }
      state.isClosed = true;
      state.server = "closed";
      for (const call of state.calls) call.result ??= report(state, "closed");
      break;
  }
}

function newConn(): Conn {
  return {
    isOpen: true,
    requests: [],
    begun: 0,
    released: 0,
    handled: [],
    responses: [],
    isBehindBody: false,
    mayBeReset: false,
  };
}

type Sending = Extract<Step, { does: "send" }>;

/** The client sends the next part of a request. */
function send(client: number, conn: Conn, { request: plan, upTo, isTogether }: Sending): void {
  let request = conn.requests.at(-1);
  if (request === undefined || request.sent === "all") {
    const index = conn.begun++;
    request = {
      id: `${client}.${index}`,
      index,
      plan,
      sent: "half a head",
      isHandled: false,
      isLast: false,
      isTogether: false,
    };
    conn.requests.push(request);
  }
  const isWhole = upTo !== "half a head" && planOf(request).body === undefined;
  request.sent = isWhole ? "all" : upTo;
  request.isTogether = isTogether === true;
}

function planOf(request: Request): Plan {
  return PLANS[request.plan];
}

/** Lets everything happen that follows from what was done. */
function settle(state: State, exceptions: Exceptions, choose: Choose): void {
  for (const conn of state.conns) {
    if (conn === undefined || !conn.isOpen) continue;
    cut(conn, exceptions, choose);
    if (conn.left === undefined) answerRequests(state, conn, exceptions, choose);
    else leave(state, conn, exceptions, choose);
  }
  if (state.server === "serving") return;
  poll(state, exceptions, choose);
  if (state.conns.some((conn) => conn?.isOpen)) return;
  state.server = "closed";
  for (const call of state.calls) call.result ??= report(state, "drained");
}

/** Some engines cut a connection off for what comes behind a request that is not answered. */
function cut(conn: Conn, exceptions: Exceptions, choose: Choose): void {
  const [request, next] = conn.requests;
  if (next === undefined || conn.left !== undefined) return;
  if (isLastByItself(request)) {
    if (!exceptions.has("refuses what comes behind a request that says close")) return;
    // The answer may be on its way.
    if (choose(false, true)) return;
    conn.left = "cut";
    conn.partial = "refused";
  } else if (
    next.sent !== "half a head" &&
    exceptions.has("closes a connection whose next request comes early")
  ) conn.left = "cut";
}

/** Calls the handler of the oldest request, and sends its answer if there is one; then the next. */
function answerRequests(
  state: State,
  conn: Conn,
  exceptions: Exceptions,
  choose: Choose,
): void {
  while (conn.isOpen) {
    callHandlers(state, conn, exceptions);
    const [request] = conn.requests;
    if (!request?.isHandled || !isAnswered(conn, request)) return;
    if (planOf(request).path === "ws") return upgrade(state, conn, exceptions);
    conn.isBehindBody = planOf(request).body !== undefined;
    if (mayEndBehindBody(request, exceptions)) {
      request.isLast = choose(request.isLast, "for the server");
    }
    writeHead(request, exceptions);
    conn.responses.push(`${statusOf(request)} ${request.head} ${bodyOf(request)}`.trimEnd());
    delete conn.partial;
    if (request.head === "close" || request.isLast === "for the client") {
      const [, next] = conn.requests;
      const isFollowed = next !== undefined;
      if (
        isFollowed && planOf(next).expects && exceptions.has("may say 100 behind the last response")
      ) {
        if (choose(false, true)) conn.responses.push("100");
      }
      end(state, conn, "drained", exceptions);
      conn.mayBeReset = isFollowed;
      return;
    }
    if (state.server !== "serving" && exceptions.has("counts requests")) state.tally.drained++;
    conn.requests.shift();
    startResponse(conn, exceptions);
  }
}

/** Makes a connection a WebSocket. An upgrade that comes during a drain is refused. */
function upgrade(state: State, conn: Conn, exceptions: Exceptions): void {
  if (state.server !== "serving") {
    conn.partial = "refused";
    return end(state, conn, "drained", exceptions);
  }
  conn.responses.push("101");
  conn.requests = [];
  conn.isHijacked = true;
}

/** Tells WebSockets that the drain has started, which waits for their answer. */
function closeWebSockets(state: State, exceptions: Exceptions): void {
  state.server = "draining";
  for (const conn of state.conns) {
    if (!conn?.isOpen || !conn.isHijacked || conn.left !== undefined) continue;
    conn.partial = "close 1001";
    if (exceptions.has("ends a WebSocket behind its close frame")) {
      end(state, conn, "drained", exceptions);
    }
  }
}

/** Calls the handlers of the requests whose heads have come: of the oldest one, or of all. */
function callHandlers(state: State, conn: Conn, exceptions: Exceptions): void {
  const atOnce = exceptions.has("calls the handlers of a pipeline at once");
  const evenBehindLast = exceptions.has("calls handlers behind the last response");
  for (const request of conn.requests) {
    if (request.sent === "half a head") return;
    if (!request.isHandled) callHandler(state, conn, request, exceptions);
    readBody(conn, request);
    // What comes behind the last request is no request. What comes behind a body has not come yet.
    if (request.isLast && !evenBehindLast) return;
    if (request.sent !== "all" || !atOnce) return;
  }
}

function callHandler(
  state: State,
  conn: Conn,
  request: Request,
  exceptions: Exceptions,
): void {
  const { version, saysClose } = planOf(request);
  request.isHandled = true;
  const isRefused = planOf(request).path === "ws" && state.server !== "serving";
  if (version === "1.0" || saysClose) request.isLast = "for the client";
  if (state.server !== "serving") request.isLast = "for the server";
  const isTold = !isRefused || exceptions.has("tells the owner of upgrades that are refused");
  if (isTold) conn.handled.push(request.id);
  startResponse(conn, exceptions);
}

/** Sends what comes before the answer of the oldest request: 100, or the first part of a stream. */
function startResponse(conn: Conn, exceptions: Exceptions): void {
  const [request] = conn.requests;
  if (!request?.isHandled) return;
  const { path, expects } = planOf(request);
  if (expects && !request.isContinued) {
    request.isContinued = true;
    conn.responses.push("100");
  }
  if (path !== "stream") return;
  writeHead(request, exceptions);
  conn.partial = `200 ${request.head} first `;
}

/** The handler of a late upload tells when it has read the body. */
function readBody(conn: Conn, request: Request): void {
  if (planOf(request).path !== "late-upload" || request.sent !== "all" || request.isRead) return;
  request.isRead = true;
  conn.handled.push(`${request.id} read`);
}

/** Reports whether an engine may end the connection of an upload that came in pieces. */
function mayEndBehindBody(request: Request, exceptions: Exceptions): boolean {
  return planOf(request).body !== undefined && exceptions.has("may close behind an upload");
}

/** Writes the head of a response, unless it is written: it cannot say close any more then. */
function writeHead(request: Request, exceptions: Exceptions): void {
  // To say so to a client that has asked for it, or that knows nothing else, is a courtesy.
  const isSaid = request.isLast === "for the server" || planOf(request).version === "1.0" ||
    !exceptions.has("does not say close to a client that has said it");
  request.head ??= request.isLast && isSaid ? "close" : "keep-alive";
}

/** Has the newest of the responses in flight be the last of its connection, unless its head is written. */
function endConnections(state: State): void {
  for (const conn of state.conns) {
    const newest = conn?.requests.findLast(({ isHandled }) => isHandled);
    if (newest !== undefined && newest.head === undefined) newest.isLast = "for the server";
  }
}

/** Reports whether the handler has what it waits for. */
function isAnswered({ released }: Conn, request: Request): boolean {
  const isReleased = request.index < released;
  switch (planOf(request).path) {
    case "now":
    case "throw":
    case "empty":
    case "ws":
      return true;
    case "wait":
    case "stream":
      return isReleased;
    case "upload":
      return request.sent === "all";
    case "late-upload":
      return request.sent === "all" && isReleased;
  }
}

/** Reports whether the handler has all of the request, and waits to be told to go on. */
function isWaiting({ released }: Conn, request: Request): boolean {
  const waits = ["wait", "late-upload"].includes(planOf(request).path);
  return waits && request.sent === "all" && request.index >= released;
}

function statusOf(request: Request): number {
  return { throw: 500, empty: 204 }[planOf(request).path as string] ?? 200;
}

function bodyOf(request: Request): string {
  const { method, path } = planOf(request);
  if (method === "HEAD") return "";
  switch (path) {
    case "throw":
      return "failed";
    case "empty":
      return "";
    case "stream":
      return "first last";
    case "upload":
    case "late-upload":
      return "got 10";
    default:
      return path;
  }
}

/** The client of a connection has left: nothing begins any more, and a handler that is busy is waited for. */
function leave(state: State, conn: Conn, exceptions: Exceptions, choose: Choose): void {
  const mayAnswer = exceptions.has("may answer a client that has ended its side");
  if (conn.isHeard === undefined) countLeft(state, conn, exceptions, choose);
  conn.isHeard ??= conn.left !== "end" || !mayAnswer || choose(true, false);
  if (!conn.isHeard) {
    dropStream(conn, choose);
    answerRequests(state, conn, exceptions, choose);
    if (conn.requests[0]?.isHandled && conn.requests[0].sent === "all") return;
  }
  if (!conn.isOpen) return;
  const isBusy = !exceptions.has("does not see handlers whose client has left") &&
    conn.requests.some((request) => request.isHandled && isWaiting(conn, request));
  if (!isBusy) end(state, conn, "drained", exceptions);
}

/** Some engines count connections that have gone and not the handlers that are left of them. */
function countLeft(state: State, conn: Conn, exceptions: Exceptions, choose: Choose): void {
  const isDraining = state.server !== "serving";
  if (exceptions.has("counts open connections only")) {
    if (isDraining) state.tally.drained++;
    conn.isUncounted = true;
  } else if (exceptions.has("may count open connections only") && choose(true, false)) {
    if (isDraining) state.tally.drained++;
    conn.isUncounted = true;
  }
}

/** The stream of a client that has left may end, and the request behind it begin. */
function dropStream(conn: Conn, choose: Choose): void {
  const [request] = conn.requests;
  if (!request?.isHandled || planOf(request).path !== "stream" || conn.isStreamLeft) return;
  if (choose(false, true)) conn.requests.shift();
  else conn.isStreamLeft = true;
}

/** Ends a connection, and counts it. */
function end(
  state: State,
  conn: Conn,
  how: keyof State["tally"],
  exceptions: Exceptions,
): void {
  const isSeen = conn.isHijacked || conn.requests.some(({ isHandled }) => isHandled) ||
    !exceptions.has("shows connections with a request only");
  conn.isOpen = false;
  if (conn.requests.length > 0) conn.mayBeReset = true;
  conn.requests = [];
  const isCounted = !conn.isUncounted && (how === "forced" || state.server !== "serving");
  if (isSeen && isCounted) state.tally[how]++;
}

/** Closes the connections that are idle, unless every call that waits spares them. */
function poll(state: State, exceptions: Exceptions, choose: Choose): void {
  if (exceptions.has("shows connections with a request only")) {
    return closeSilent(state, exceptions);
  }
  const waiting = waitingCalls(state);
  if (waiting.length === 0 && exceptions.has("polls only while a call waits")) return;
  const spares = !state.drainsOn && waiting.every(({ idleGrace }) => idleGrace);
  if (spares && !exceptions.has("knows no idleGrace")) return;
  for (const conn of state.conns) {
    if (!conn?.isOpen) continue;
    const found = stateOf(conn, exceptions);
    if (found === "active or idle") conn.requests[0]!.isNoticed ??= choose(true, false);
    const isIdle = found === "idle" || found === "active or idle" && !conn.requests[0]!.isNoticed;
    if (isIdle) end(state, conn, "idle", exceptions);
  }
}

/** Closes the connections without a request, of which nobody knows, when no WebSocket is left. */
function closeSilent(state: State, exceptions: Exceptions): void {
  if (state.conns.some((conn) => conn?.isOpen && conn.isHijacked)) return;
  for (const conn of state.conns) {
    if (conn?.isOpen && !conn.requests.some(({ isHandled }) => isHandled)) {
      end(state, conn, "idle", exceptions);
    }
  }
}

function stateOf(conn: Conn, exceptions: Exceptions): Listed["state"] {
  if (conn.isHijacked) return "hijacked";
  const [request] = conn.requests;
  if (request === undefined) return conn.begun === 0 ? "new" : "idle";
  if (request.sent !== "half a head") return "active";
  if (conn.begun === 1) {
    return exceptions.has("takes the first half a head for silence") ? "new" : "active";
  }
  if (exceptions.has("takes the next half a head for silence")) return "idle";
  if (exceptions.has("may take half a head for silence")) return "active or idle";
  if (request.isTogether && exceptions.has("may not notice half a head that came with a request")) {
    return "active or idle";
  }
  const isHidden = exceptions.has("takes half a head behind an upload for silence");
  return isHidden && conn.isBehindBody ? "idle" : "active";
}

function listedState(conn: Conn, exceptions: Exceptions): Listed["state"] {
  const isHalfHead = conn.requests[0]?.sent === "half a head";
  if (isHalfHead && exceptions.has("lists half a head as idle")) return "idle";
  return stateOf(conn, exceptions);
}

function report(
  { tally }: State,
  reason: Report["reason"],
  connections: readonly Listed[] = [],
): Report {
  return { reason, ...tally, connections };
}

function listed(state: State, exceptions: Exceptions): Listed[] {
  return state.conns.flatMap((conn, client) => {
    if (!conn?.isOpen) return [];
    const handled = conn.requests.filter(({ isHandled }) => isHandled);
    const isBusy = handled.length > 0 || conn.isHijacked;
    if (!isBusy && exceptions.has("shows connections with a request only")) return [];
    const request = requestInFlight(conn, handled, exceptions);
    const isKnown = conn.left !== "cut";
    return [{
      client: isKnown ? client : `${client} or -1`,
      state: listedState(conn, exceptions),
      request,
    }];
  });
}

/** Returns the method and the path that a list has for a connection. */
function requestInFlight(
  conn: Conn,
  handled: readonly Request[],
  exceptions: Exceptions,
): string {
  const isNewest = exceptions.has("lists the newest request of a pipeline");
  // What comes behind the last request is none.
  const end = handled.findIndex(({ isLast }) => isLast) + 1;
  const request = handled.slice(0, end || undefined).at(isNewest ? -1 : 0);
  if (request === undefined) return "";
  const text = `${planOf(request).method} ${pathOf(request)}`;
  // Of a client that has left, the newest response may be over before the others.
  return isNewest && conn.left !== undefined && !isWaiting(conn, request) ? `${text} or ` : text;
}

/** The path of a request, which tells its handler what to do. */
function pathOf(request: Request): string {
  return `/${planOf(request).path}/${request.id}`;
}

/** Returns what can be seen of a state. */
export function view(state: State, exceptions: Exceptions): View {
  return {
    server: state.server,
    connections: listed(state, exceptions),
    clients: state.conns.map((conn) => conn === undefined ? null : seenBy(conn)),
    refused: state.refused,
    calls: state.calls.map(({ result }) => result ?? "pending"),
  };
}

function seenBy(conn: Conn): ClientView {
  const { responses, partial, handled, left, isOpen, mayBeReset } = conn;
  const closed = mayBeReset ? "closed or reset" : "closed";
  const fate = left === "cut"
    ? "closed or reset"
    : left !== undefined
    ? "left"
    : isOpen
    ? "open"
    : closed;
  return { responses, partial: partial ?? null, handled: callsFirst(handled), fate };
}

/** Puts the calls of handlers before what they have read: the order of the two is a matter of chance. */
export function callsFirst(handled: readonly string[]): string[] {
  const isRead = (text: string) => text.endsWith(" read");
  return [...handled.filter((text) => !isRead(text)), ...handled.filter(isRead)];
}
