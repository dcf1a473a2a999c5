/** Schedules: what clients and the owner of a server do, step by step, and how fast-check makes them up. */
import fc from "fast-check";

/** A kind of request. What the handler does with it is told by the first part of its path. */
export interface Plan {
  readonly method: "GET" | "HEAD" | "POST";
  readonly path: "now" | "wait" | "upload" | "late-upload" | "stream" | "throw" | "empty" | "ws";
  readonly version?: "1.0";
  readonly body?: "length" | "chunked";
  /** Whether the client waits for `100 Continue` before it sends the body. */
  readonly expects?: true;
  /** Whether the client says `Connection: close`. */
  readonly saysClose?: true;
}

/** The name of a kind of request. */
export type PlanName =
  | "now"
  | "wait"
  | "stream"
  | "upload"
  | "chunked"
  | "late upload"
  | "expects"
  | "HEAD"
  | "throw"
  | "empty"
  | "HTTP/1.0"
  | "last"
  | "WebSocket";

/** The kinds of requests, by the names that schedules have for them. */
export const PLANS: Readonly<Record<PlanName, Plan>> = {
  "now": { method: "GET", path: "now" },
  "wait": { method: "GET", path: "wait" },
  "stream": { method: "GET", path: "stream" },
  "upload": { method: "POST", path: "upload", body: "length" },
  "chunked": { method: "POST", path: "upload", body: "chunked" },
  "late upload": { method: "POST", path: "late-upload", body: "length" },
  "expects": { method: "POST", path: "upload", body: "length", expects: true },
  "HEAD": { method: "HEAD", path: "wait" },
  "throw": { method: "GET", path: "throw" },
  "empty": { method: "GET", path: "empty" },
  "HTTP/1.0": { method: "GET", path: "wait", version: "1.0" },
  "last": { method: "GET", path: "wait", saysClose: true },
  "WebSocket": { method: "GET", path: "ws" },
};

/** How much of a request has been sent, in the order in which it is sent. */
export const PARTS: readonly Part[] = ["half a head", "head", "half a body", "all"];
export type Part = "half a head" | "head" | "half a body" | "all";

/** What one client does. */
export type ClientStep =
  | { readonly client: number; readonly does: "connect" | "end" | "reset" }
  /** Answers the close frame of a WebSocket. */
  | { readonly client: number; readonly does: "answer" }
  | {
    readonly client: number;
    readonly does: "send";
    /** Begins this request, unless one that the client has begun is not sent to its end: that goes on. */
    readonly request: PlanName;
    readonly upTo: Part;
    /** Whether it follows what the client has sent just before: a burst says so by itself. */
    readonly isTogether?: boolean;
  };

/** What the owner of the server does. */
export type ServerStep =
  /** Lets the handler of the oldest request of the client go on. */
  | { readonly does: "release"; readonly client: number }
  | { readonly does: "shutdown"; readonly idleGrace: boolean; readonly until: "end" | "timeout" }
  /** Aborts the signal of the oldest shutdown that waits. */
  | { readonly does: "abort" }
  | { readonly does: "close" };

export type Step = ClientStep | ServerStep;

/** Steps that are taken together, without a wait for what they cause. Most are alone. */
export type Burst = readonly Step[];
export type Schedule = readonly Burst[];

/** The number of clients of a schedule. */
export const CLIENTS = 3;

const client = fc.nat({ max: CLIENTS - 1 });

const clientStep: fc.Arbitrary<ClientStep> = fc.oneof(
  { weight: 4, arbitrary: client.map((client) => ({ client, does: "connect" as const })) },
  {
    weight: 9,
    arbitrary: fc.record({
      client,
      does: fc.constant("send" as const),
      // The cast: the keys of an object are its keys.
      request: fc.constantFrom(...Object.keys(PLANS) as PlanName[]),
      upTo: fc.constantFrom("all" as const, ...PARTS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      client,
      does: fc.constantFrom("reset" as const, "end" as const, "answer" as const),
    }),
  },
);

const release: fc.Arbitrary<ServerStep> = client.map((client) => ({ does: "release", client }));

const ending: fc.Arbitrary<ServerStep> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant("shutdown" as const),
      idleGrace: fc.boolean(),
      until: fc.constantFrom("end" as const, "end" as const, "timeout" as const),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ does: "abort" as const }) },
  { weight: 1, arbitrary: fc.constant({ does: "close" as const }) },
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: clientStep },
  { weight: 4, arbitrary: release },
  { weight: 2, arbitrary: ending },
);

/** Schedules in which each step is seen to its end before the next. */
export const orderly: fc.Arbitrary<Schedule> = fc.array(step.map((step) => [step]), {
  minLength: 3,
  maxLength: 24,
});

/** Schedules some of whose steps race each other. */
export const racing: fc.Arbitrary<Schedule> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: step.map((step) => [step]) },
    { weight: 1, arbitrary: fc.array(step, { minLength: 2, maxLength: 3 }) },
  ),
  { minLength: 3, maxLength: 16 },
);
