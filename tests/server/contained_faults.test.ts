/** A fault of one connection, or of what a driver does on the way, does not stop the drain of the others. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import type { ConnState } from "../../src/core/conn.ts";
import { type Conn, ConnTable } from "../../src/server/conn_table.ts";
import { TableDriver } from "../../src/server/table_driver.ts";
import type { Driver } from "../../src/server/driver.ts";
import type { Engine } from "../../src/options/serve.ts";
import { ShutdownIncompleteError } from "../../src/core/errors.ts";
import { DrivenServer } from "../../src/server/driven_server.ts";
import { runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 10_000;
const fault = new Error("thrown on purpose, and reported");

/** A connection that is idle, and gone as soon as it is told to close. */
class ScriptedConn implements Conn {
  readonly acceptedAt = 0;
  readonly remoteAddr = { transport: "unix", path: "" } as const;
  readonly #driver: ScriptedDriver;
  readonly #fails: string;

  constructor(driver: ScriptedDriver, fails = "") {
    this.#driver = driver;
    this.#fails = fails;
    driver.add(this);
  }

  #failIn(method: string): void {
    if (this.#fails.includes(method)) throw fault;
  }

  state(): ConnState {
    this.#failIn("state");
    return "idle";
  }

  request(): undefined {}

  startDrain(): void {
    this.#failIn("startDrain");
  }

  startEnding(): void {
    this.#failIn("startEnding");
  }

  closeIdle(): void {
    this.#failIn("closeIdle");
    this.#driver.delete(this);
  }

  destroy(): void {
    this.#failIn("destroy");
    this.#driver.delete(this);
  }
}

class ScriptedDriver extends TableDriver<ScriptedConn> implements Driver {
  readonly engine: Engine = "node";
  readonly addr = { transport: "tcp", hostname: "127.0.0.1", port: 1 } as const;
  readonly scheme = "http";
  readonly native = undefined;
  readonly handles = [];
  isListening = true;
  readonly #fails: string;

  constructor(fails = "") {
    super();
    this.#fails = fails;
  }

  add(conn: ScriptedConn): void {
    this.conns.add(conn);
  }

  delete(conn: ScriptedConn): void {
    this.conns.delete(conn);
  }

  override startDrain(onChange: () => void): void {
    if (this.#fails === "startDrain") throw fault;
    super.startDrain(onChange);
  }

  override endConnections(): void {
    if (this.#fails === "endConnections") throw fault;
    super.endConnections();
  }

  waitingToBeAccepted(): number {
    if (this.#fails === "waitingToBeAccepted") throw fault;
    return this.#fails === "emptyAcceptQueue" ? 1 : 0;
  }

  emptyAcceptQueue(): Promise<void> {
    return this.#fails === "" ? Promise.resolve() : Promise.reject(fault);
  }

  closeListeners(): void {
    this.isListening = false;
    if (this.#fails === "closeListeners") throw fault;
  }
}

for (const fails of ["startDrain", "startEnding", "closeIdle"]) {
  test(`[${runtime}] shutdown() drains all connections although ${fails} of one throws`, async () => {
    const driver = new ScriptedDriver();
    for (const broken of ["", fails, ""]) new ScriptedConn(driver, broken);
    const report = await deadline(new DrivenServer(driver).shutdown(), SOON);
    assertEquals(driver.isListening, false);
    assertEquals([report.reason, report.idle], ["drained", 3]);
  });
}

test(`[${runtime}] shutdown() waits for a connection that does not tell its state, and closes the others`, async () => {
  const driver = new ScriptedDriver();
  for (const broken of ["", "state", ""]) new ScriptedConn(driver, broken);
  const server = new DrivenServer(driver);
  await assertRejects(() => server.shutdown({ timeout: 20 }), ShutdownIncompleteError);
  assertEquals(server.connections().map(({ state }) => state), ["active"]);
  await deadline(server.close(), SOON);
});

test(`[${runtime}] close() does not wait for a connection that cannot be destroyed`, async () => {
  const driver = new ScriptedDriver();
  for (const broken of ["", "destroy", ""]) new ScriptedConn(driver, broken);
  await deadline(new DrivenServer(driver).close(), SOON);
});

const steps = [
  "startDrain",
  "waitingToBeAccepted",
  "emptyAcceptQueue",
  "endConnections",
  "closeListeners",
];
for (const fails of steps) {
  test(`[${runtime}] shutdown() closes the listener and runs the hooks although ${fails} of the driver throws`, async () => {
    const driver = new ScriptedDriver(fails);
    new ScriptedConn(driver);
    const server = new DrivenServer(driver);
    let isHooked = false;
    server.onShutdown(() => isHooked = true);
    const done = deadline(server.shutdown(), SOON);
    if (fails === "closeListeners") assertEquals(await assertRejects(() => done, Error), fault);
    else await done;
    assert(!driver.isListening);
    assert(isHooked);
    assertEquals(server.state, "closed");
  });
}

test(`[${runtime}] ConnTable counts what it could not destroy as forced`, async () => {
  const driver = new ScriptedDriver();
  const table = new ConnTable<ScriptedConn>();
  table.startDrain(() => {});
  table.add(new ScriptedConn(driver, "destroy"));
  await deadline(table.destroyAll(), SOON);
  assertEquals(table.tally.forced, 1);
});
