import type { Scenario } from "./world.ts";

/** What is there, and what can happen: each rule of a shutdown has its events in one of them. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: "a request in flight",
    conns: ["active"],
    events: ["shutdown", "join", "abort", "close", "aAnswered", "aLeaves"],
  },
  {
    name: "a connection that arrives while the listener closes",
    conns: [],
    listener: "waits",
    events: ["shutdown", "close", "arrives", "aBegins", "aAnswered", "listenerCloses"],
  },
  {
    name: "a listener that fails to close",
    conns: ["active"],
    listener: "waits",
    events: ["shutdown", "join", "abort", "close", "listenerFails", "aLeaves"],
  },
  {
    name: "a hook that fails late",
    conns: ["idle"],
    listener: "waits",
    hook: "waits",
    events: ["shutdown", "join", "close", "hookFails", "listenerFails", "aBegins"],
  },
  {
    name: "a connection in the accept queue",
    conns: ["idle"],
    queue: true,
    events: ["shutdown", "join", "abort", "close", "queueEmpties", "bAnswered"],
  },
  {
    name: "work behind a response whose end is not announced",
    conns: ["active"],
    work: true,
    events: ["shutdown", "join", "close", "closeAgain", "workDone", "aAnsweredUnnoticed"],
  },
  {
    name: "a WebSocket that nobody waits for",
    conns: ["hijacked"],
    hijacked: "ignore",
    hook: "waits",
    events: ["shutdown", "join", "close", "hookFails", "aLeaves", "arrives"],
  },
  {
    name: "two connections",
    conns: ["active", "new"],
    events: ["shutdown", "close", "aAnswered", "bBegins", "bAnswered", "bLeaves"],
  },
];
