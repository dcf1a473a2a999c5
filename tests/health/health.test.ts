/** `health`: what a probe is answered, and what becomes of the checks behind it. */
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { deadline, delay } from "@std/async";
import { type Engine, type Handler, serve, type ServeInfo, type Server } from "../../mod.ts";
import { health, type HealthHandler, type HealthOptions } from "../../src/health/mod.ts";
import { connect, request } from "../../support/client.ts";
import { engines, runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

const get = (path: string, init?: RequestInit) => new Request(`http://localhost${path}`, init);

/** The status and the text that a probe is answered. */
async function ask(handler: HealthHandler, path: string): Promise<[number, string]> {
  // Timers of checks keep nothing alive, this one does.
  const response = await deadline(Promise.resolve(handler(get(path))), SOON);
  return [response.status, await response.text()];
}

/** Whose changes nobody hears of. */
const quiet = (options: HealthOptions & { next?: undefined }): HealthHandler =>
  health({ onCheckChange: () => {}, ...options });

/** A check that counts its calls, and ends each as it is told. */
class Gated {
  readonly signals: AbortSignal[] = [];
  #gate = Promise.withResolvers<void>();

  check = (signal: AbortSignal): Promise<void> => {
    this.signals.push(signal);
    return this.#gate.promise;
  };

  /** Ends what has been called so far: well, or with an error. */
  open(error?: Error): void {
    if (error === undefined) this.#gate.resolve();
    else this.#gate.reject(error);
    this.#gate = Promise.withResolvers();
  }
}

async function serving(
  engine: Engine,
  handler: Handler,
  use: (server: Server) => Promise<void>,
): Promise<void> {
  const server = await serve(handler, { port: 0, hostname: "127.0.0.1", engine });
  try {
    await use(server);
  } finally {
    await server.close();
  }
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  test(`${on} health() answers probes with 200 or 503 and a fixed text, and leaves everything else to next`, async () => {
    let isWell = true;
    const handler = health({
      liveness: { well: () => isWell },
      onCheckChange: () => {},
      next: (_, info) => new Response(`next for ${info.remoteAddr.transport}`),
    });
    await serving(engine, handler, async (server) => {
      for (const [path, status, text] of [["livez", 200, "ok"], ["livez?x", 503, "not ok"]]) {
        isWell = status === 200;
        const response = await fetch(`${server.url}${path}`);
        assertEquals(response.status, status);
        assertEquals(response.statusText, status === 200 ? "OK" : "Service Unavailable");
        assertEquals(await response.text(), text);
        assertEquals(response.headers.get("content-type"), "text/plain; charset=utf-8");
        assertEquals(response.headers.get("cache-control"), "no-store");
        assertEquals(response.headers.get("x-content-type-options"), "nosniff");
      }
      assertEquals((await fetch(`${server.url}readyz`)).status, 200);
      for (const path of ["", "livez/", "x/livez", "LIVEZ", "?livez", "x?/livez"]) {
        assertEquals(await (await fetch(`${server.url}${path}`)).text(), "next for tcp", path);
      }
    });
  });

  test(`${on} health() answers HEAD without the text, and other methods with 405`, async () => {
    await serving(engine, health(), async (server) => {
      const client = await connect(server.addr);
      for (const method of ["HEAD", "GET"]) {
        client.write(request(`${method} /readyz`));
        const { status, body } = await client.response(method === "HEAD");
        assertEquals([status, body], [200, method === "HEAD" ? "" : "ok"]);
      }
      for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
        const response = await fetch(`${server.url}livez`, { method });
        assertEquals([response.status, response.headers.get("allow")], [405, "GET, HEAD"]);
        assertEquals(response.headers.get("cache-control"), "no-store");
        await response.text();
      }
      client.vanish();
    });
  });

  test(`${on} health() answers HTTP/1.0 without a host`, async () => {
    await serving(engine, health(), async (server) => {
      const client = await connect(server.addr);
      client.write("GET /readyz?x HTTP/1.0\r\n\r\n");
      await client.end();
      assertMatch(client.received, /^HTTP\/1\.[01] 200 [^]*\r\n\r\nok$/);
    });
  });

  test(`${on} health() says alive and not ready of a server that drains`, async () => {
    const [live, ready] = [new Gated(), new Gated()];
    const infos: ServeInfo[] = [];
    const handler = health({
      liveness: { live: live.check },
      readiness: { ready: ready.check },
      timeout: SOON,
      details: true,
      next: (_, info) => {
        infos.push(info);
        return new Response("next");
      },
    });
    await serving(engine, handler, async (server) => {
      await (await fetch(server.url)).text();
      const probes = ["livez", "readyz?verbose"].map((path) => fetch(`${server.url}${path}`));
      while (live.signals.length + ready.signals.length < 2) await delay(1);
      const drained = server.shutdown();
      // Neither waits for the check, nor ends it: another server may serve the same handler.
      const notReady = await deadline(probes[1]!, SOON / 2);
      const text = "[-]shutdown failed: the server drains\nreadyz check failed\n";
      assertEquals([notReady.status, await notReady.text()], [503, text]);
      assertEquals(ready.signals[0]!.aborted, false);
      live.open();
      assertEquals((await probes[0]!).status, 200);
      assertEquals((await deadline(drained, SOON)).reason, "drained");
      const after = await handler(get("/readyz?verbose"), infos[0]!);
      assert(after instanceof Response);
      assertEquals([after.status, await after.text(), ready.signals.length], [503, text, 1]);
    });
  });

  test(`${on} health() waits for no check at the end of the process`, async () => {
    const program = run("health_drain.ts", [engine]);
    assertEquals(await deadline(program.exit, SOON), 0, program.output);
    assertEquals(
      program.output,
      "aborted: AbortError\n" +
        `503 ${
          JSON.stringify("[-]shutdown failed: the process ends: SIGTERM\nreadyz check failed\n")
        }\n` +
        "drained\n",
    );
  });
}

test(`[${runtime}] health() is not ready from the moment at which the end is decided`, async () => {
  const program = run("health_end.ts", ["SIGTERM"]);
  assertEquals(await deadline(program.exit, SOON), 0, program.output);
  const passed = JSON.stringify("[+]gate ok\n[+]shutdown ok\nreadyz check passed\n");
  const failed = JSON.stringify(
    "[-]shutdown failed: the process ends: SIGTERM\nreadyz check failed\n",
  );
  assertEquals(program.output.trimEnd().split("\n"), [
    `ready before: 200 ${passed}`,
    `ready while it is decided: 503 ${failed}`,
    // Answered although the gate is shut: the check is not run.
    `ready after: 503 ${failed}`,
    `live after: 200 ${JSON.stringify("livez check passed\n")}`,
    `ready when the process lives on: 200 ${passed}`,
  ]);
});

test(`[${runtime}] health() stays ready when a successor has taken over`, async () => {
  const program = run("health_end.ts", ["upgraded"]);
  assertEquals(await deadline(program.exit, SOON), 0, program.output);
  const passed = JSON.stringify("[+]gate ok\n[+]shutdown ok\nreadyz check passed\n");
  assertEquals(program.output.trimEnd().split("\n"), [
    `ready before: 200 ${passed}`,
    `ready while it is decided: 200 ${passed}`,
    `ready after: 200 ${passed}`,
    `ready while it drains: 200 ${passed}`,
  ]);
});

test(`[${runtime}] health() without next can be called with a request alone, and answers 404`, async () => {
  const handler = health({ livePath: "/health/live", readyPath: "/health" });
  const asHandler: Handler = handler;
  assertEquals(typeof asHandler, "function");
  assertEquals(await ask(handler, "/health/live?verbose"), [200, "ok"]);
  assertEquals(await ask(handler, "/health"), [200, "ok"]);
  assertEquals((await ask(handler, "/livez"))[0], 404);
  assertEquals((await ask(handler, "/health/"))[0], 404);
});

test(`[${runtime}] health() with next asks for the info in its type, which next gets as it is`, async () => {
  const infos: unknown[] = [];
  const handler = health({
    next: (_, info) => {
      infos.push(info);
      return new Response("next");
    },
  });
  // @ts-expect-error: what a caller without a type checker may leave out.
  const response = await handler(get("/"));
  assertEquals([await response!.text(), infos], ["next", [undefined]]);
  // @ts-expect-error: the same.
  assertEquals((await handler(get("/readyz"))).status, 200);
});

test(`[${runtime}] health() takes throwing, rejecting and resolving with false as a failed check`, async () => {
  const outcomes: [() => unknown, string | undefined][] = [
    [() => undefined, undefined],
    [() => 0, undefined],
    [() => Promise.resolve(null), undefined],
    [() => false, "returned false"],
    [() => Promise.resolve(false), "returned false"],
    [() => {
      throw new Error("thrown\n[+]forged  ok");
    }, "thrown [+]forged ok"],
    [() => Promise.reject(new TypeError("rejected")), "rejected"],
    [() => Promise.reject("text"), "text"],
    [() => Promise.reject(), "undefined"],
    [() => Promise.reject(Object.create(null)), "[Object: null prototype] {}"],
    [() => Promise.reject(new RangeError()), "RangeError"],
    [
      () => Promise.reject(new AggregateError([new Error("no ::1"), new Error("no 127.0.0.1")])),
      "Error: no ::1; Error: no 127.0.0.1",
    ],
  ];
  for (const kind of ["liveness", "readiness"] as const) {
    const path = kind === "liveness" ? "/livez" : "/readyz";
    for (const [check, reason] of outcomes) {
      const expected = reason === undefined ? [200, "ok"] : [503, "not ok"];
      const silent = quiet({ [kind]: { good: () => {}, check } });
      for (const query of ["", "?verbose", "?format=json"]) {
        assertEquals(await ask(silent, path + query), expected);
      }
      const talking = quiet({ [kind]: { good: () => {}, check }, details: true });
      assertEquals(await ask(talking, path), expected);
      const [, text] = await ask(talking, `${path}?verbose`);
      const line = reason === undefined ? "[+]check ok" : `[-]check failed: ${reason}`;
      const end = `${path.slice(1)} check ${reason === undefined ? "passed" : "failed"}\n`;
      const shutdown = kind === "readiness" ? "[+]shutdown ok\n" : "";
      assertEquals(text, `[+]good ok\n${line}\n${shutdown}${end}`);
    }
  }
});

test(`[${runtime}] health() tells each check, and how long it took, with ?format=json`, async () => {
  const handler = quiet({
    readiness: { good: () => delay(20), "__proto__ bad": () => false },
    details: true,
  });
  const response = await handler(get("/readyz?verbose&format=json"));
  assertEquals([response.status, response.headers.get("content-type")], [503, "application/json"]);
  const { status, checks } = await response.json();
  assertEquals([status, Object.keys(checks)], ["failed", ["good", "__proto__ bad", "shutdown"]]);
  assertEquals([checks.good.status, Object.keys(checks.good)], ["ok", ["status", "duration"]]);
  assert(checks.good.duration > 15 && checks.good.duration < SOON, `${checks.good.duration}`);
  const { duration, ...bad } = checks["__proto__ bad"];
  assertEquals(bad, { status: "failed", error: "returned false" });
  assert(duration >= 0 && duration < checks.good.duration, `${duration}`);
  assertEquals(checks.shutdown, { status: "ok", duration: 0 });
  assertEquals(await (await handler(get("/livez?format=json"))).json(), {
    status: "ok",
    checks: {},
  });
  assertEquals(await ask(handler, "/livez?format=xml"), [200, "ok"]);
});

test(`[${runtime}] health() runs checks side by side, and probes that come meanwhile join them`, async () => {
  const [first, second] = [new Gated(), new Gated()];
  const handler = quiet({
    readiness: { first: first.check, second: { check: second.check } },
    timeout: SOON,
  });
  const calls = () => [first.signals.length, second.signals.length];
  const probes = [ask(handler, "/readyz"), ask(handler, "/readyz")];
  assertEquals(calls(), [1, 1]);
  first.open();
  await delay(1);
  probes.push(ask(handler, "/readyz"));
  // The first one has ended and begins anew, the second is joined.
  assertEquals(calls(), [2, 1]);
  second.open(new Error("for all of them"));
  first.open();
  assertEquals(await Promise.all(probes), probes.map(() => [503, "not ok"]));
  const last = ask(handler, "/readyz");
  assertEquals(calls(), [3, 2]);
  first.open();
  second.open();
  assertEquals(await last, [200, "ok"]);
});

test(`[${runtime}] health() gives a check its own timeout or that of all, and its signal tells`, async () => {
  const signals: AbortSignal[] = [];
  const untilAborted = (signal: AbortSignal) =>
    new Promise((_, reject) => {
      signals.push(signal);
      signal.addEventListener("abort", () => reject(new Error("because of the abort")));
    });
  const handler = quiet({
    liveness: { own: { check: untilAborted, timeout: 20 }, common: untilAborted, quick: () => {} },
    timeout: 40,
    details: true,
  });
  const text = "[-]own failed: timed out after 20 ms\n[-]common failed: timed out after 40 ms\n" +
    "[+]quick ok\nlivez check failed\n";
  // It has ended by then, and is started anew.
  for (let i = 0; i < 2; i++) assertEquals(await ask(handler, "/livez?verbose"), [503, text]);
  assertEquals(signals.map(({ reason }) => reason.name), Array(4).fill("TimeoutError"));
  assertEquals(signals[0]!.reason.message, "timed out after 20 ms");
});

test(`[${runtime}] health() has a default timeout below the 1 s of Kubernetes`, async () => {
  const start = performance.now();
  const handler = quiet({ liveness: { stuck: () => new Promise(() => {}) }, details: true });
  const [, text] = await ask(handler, "/livez?verbose");
  assertStringIncludes(text, "timed out after 750 ms");
  assert(performance.now() - start > 740);
});

test(`[${runtime}] health() does not start a check again that ignores its signal and runs`, async () => {
  const gated = new Gated();
  const changes: unknown[] = [];
  const handler = quiet({
    readiness: { gated: gated.check },
    timeout: 20,
    details: true,
    onCheckChange: (_, error) => changes.push(error?.message),
  });
  await ask(handler, "/readyz");
  const [status, text] = await ask(handler, "/readyz?verbose");
  const duration = Number(/^\[-\]gated failed: still running after (\d+) ms\n/.exec(text)?.[1]);
  assert(status === 503 && duration >= 19 && duration < SOON, text);
  const { checks } = await (await handler(get("/readyz?format=json"))).json();
  assert(checks.gated.duration >= 19, `${checks.gated.duration}`);
  assertEquals(gated.signals.length, 1);
  gated.open(new Error("late, and no unhandled rejection"));
  await delay(1);
  const again = ask(handler, "/readyz");
  assertEquals(gated.signals.length, 2);
  gated.open();
  assertEquals(await again, [200, "ok"]);
  assertEquals(changes, ["timed out after 20 ms", undefined]);
});

test(`[${runtime}] health() leaves nothing behind of a check that has ended`, async () => {
  const signals: AbortSignal[] = [];
  const handler = quiet({ readiness: { quick: (signal) => signals.push(signal) }, timeout: 20 });
  const draining = new AbortController().signal;
  let listeners = 0;
  const add = draining.addEventListener.bind(draining);
  const remove = draining.removeEventListener.bind(draining);
  draining.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  draining.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  const remoteAddr = { transport: "tcp", hostname: "127.0.0.1", port: 1 } as const;
  const nothing = { peerCertificate: undefined, waitUntil() {}, native: undefined };
  const info: ServeInfo = { remoteAddr, draining, ...nothing };
  assertEquals((await handler(get("/readyz"), info)).status, 200);
  assertEquals(listeners, 0);
  await delay(40);
  assertEquals(signals.map(({ aborted }) => aborted), [false]);
});

test(`[${runtime}] health() tells a change once, of each kind for itself`, async () => {
  const told: unknown[][] = [];
  const failure = new Error("down");
  let isDown = false;
  const database = () => {
    if (isDown) throw failure;
  };
  const handler = health({
    liveness: { database },
    readiness: { database, good: () => {} },
    onCheckChange: (...args) => {
      told.push(args);
    },
  });
  for (const down of [false, true, true, false, false, true]) {
    isDown = down;
    await ask(handler, "/readyz");
  }
  await ask(handler, "/livez");
  assertEquals(told, [
    ["database", failure, "readiness"],
    ["database", undefined, "readiness"],
    ["database", failure, "readiness"],
    ["database", failure, "liveness"],
  ]);
  // The same one, for its stack and its cause.
  assert(told[0]![1] === failure);
});

/** What is written to stderr by way of the console while `use` runs. */
async function errorsOf(use: () => Promise<unknown>): Promise<unknown[]> {
  const written: unknown[] = [];
  const original = console.error;
  console.error = (...args: unknown[]) => written.push(...args);
  try {
    await use();
  } finally {
    console.error = original;
  }
  return written;
}

test(`[${runtime}] health() tells the console by default`, async () => {
  let isDown = true;
  const check = () => {
    if (isDown) throw new Error("connection\nrefused");
  };
  const handler = health({ readiness: { database: check } });
  const written = await errorsOf(async () => {
    for (const down of [true, true, false, false]) {
      isDown = down;
      await ask(handler, "/readyz");
    }
  });
  assertEquals(written, [
    "The readiness check 'database' fails: connection refused",
    "The readiness check 'database' works again",
  ]);
});

test(`[${runtime}] health() goes on when onCheckChange throws`, async () => {
  const error = new Error("of onCheckChange");
  for (
    const onCheckChange of [() => Promise.reject(error), () => {
      throw error;
    }]
  ) {
    const handler = health({ liveness: { bad: () => false }, onCheckChange });
    const written = await errorsOf(async () => {
      assertEquals(await ask(handler, "/livez"), [503, "not ok"]);
      await delay(1);
    });
    assertEquals(written, [error]);
  }
});

test(`[${runtime}] health() takes methods as checks, and options that are changed afterwards`, async () => {
  class Database {
    isUp = true;
    check(): boolean {
      return this.isUp;
    }
  }
  const database = new Database();
  const readiness: Record<string, Database | (() => boolean)> = { database };
  const handler = quiet({ readiness });
  readiness["other"] = () => false;
  assertEquals(await ask(handler, "/readyz"), [200, "ok"]);
  database.isUp = false;
  assertEquals(await ask(handler, "/readyz"), [503, "not ok"]);
});

/** Options as a caller without a type checker may pass them, and what the message must name. */
const refused: [unknown, typeof TypeError | typeof RangeError, string][] = [
  [{ timeout: 0 }, RangeError, "'timeout' must be from 1 to 2147483647 ms: current value is 0"],
  [{ timeout: NaN }, RangeError, "'timeout' must be from 1 to 2147483647 ms"],
  [{ timeout: "1s" }, TypeError, "'timeout' must be a number of milliseconds"],
  [{ livePath: "livez" }, TypeError, "'livePath' must be a path as it is written in a URL"],
  [{ livePath: ":99999" }, TypeError, "'livePath' must be a path as it is written in a URL"],
  [{ livePath: null }, TypeError, "'livePath' must be a path as it is written in a URL"],
  [{ livePath: "/a/../b" }, TypeError, "'livePath'"],
  [{ livePath: "" }, TypeError, 'with "/" first: current value is ""'],
  [{ readyPath: "/ready?" }, TypeError, "'readyPath'"],
  [{ readyPath: "/bereit für" }, TypeError, "'readyPath'"],
  [{ readyPath: /ready/ }, TypeError, "'readyPath'"],
  [{ readyPath: "/livez" }, TypeError, "'readyPath' must be another path than 'livePath'"],
  [{ livePath: "/readyz" }, TypeError, "'livePath': current value is \"/readyz\""],
  [{ details: "yes" }, TypeError, "'details' must be a boolean"],
  [{ next: {} }, TypeError, "'next' must be a function"],
  [{ onCheckChange: true }, TypeError, "'onCheckChange' must be a function"],
  [{ liveness: () => true }, TypeError, "'liveness' must be an object of checks by name"],
  [{ liveness: [() => true] }, TypeError, "'liveness' must be an object of checks by name"],
  [{ readiness: new Map() }, TypeError, "'readiness' must be an object of checks by name"],
  [{ readiness: null }, TypeError, "'readiness' must be an object of checks by name"],
  [
    { readiness: { "": () => {} } },
    TypeError,
    "'readiness' must be an object whose names are not empty and have no newline",
  ],
  [{ readiness: { "a\n[+]b": () => {} } }, TypeError, 'current value is "a\\u000a[+]b"'],
  [{ readiness: { shutdown: () => {} } }, TypeError, "'readiness.shutdown' must be absent"],
  [{ readiness: { db: null } }, TypeError, "'readiness.db' must be a function, or an object"],
  [{ liveness: { db: { check: 1 } } }, TypeError, "'liveness.db' must be a function, or an object"],
  [
    { liveness: { db: { check: () => {}, timeout: 2 ** 31 } } },
    RangeError,
    "'liveness.db.timeout' must be from 1 to 2147483647 ms: current value is 2147483648",
  ],
];

test(`[${runtime}] health() refuses bad options at the call`, () => {
  for (const [options, errorClass, message] of refused) {
    let error: unknown;
    try {
      health(options as HealthOptions);
    } catch (thrown) {
      error = thrown;
    }
    assert(error instanceof errorClass, `${JSON.stringify(options)}: ${error}`);
    assertStringIncludes(error.message, "Cannot make a health handler as '");
    assertStringIncludes(error.message, message);
  }
  // Namespaces of modules have no prototype, and shutdown is taken for readiness alone.
  health({ readiness: Object.assign(Object.create(null), { a: () => {} }) });
  health({ liveness: { shutdown: () => {} } });
});
