/** The states that a connection goes through, in Go's order. */
import { test } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { type ConnState, serve } from "../../mod.ts";
import { connect, request, webSocketUpgrade } from "../../support/client.ts";
import { engines, runtime, start } from "../support/fixture.ts";

/** Records the states of each connection, by the client's port. */
class Recorder {
  readonly #states = new Map<number, ConnState[]>();
  #changed = Promise.withResolvers<void>();

  record = (state: ConnState, { remoteAddr }: { remoteAddr: unknown }): void => {
    const { port } = remoteAddr as { port: number };
    this.#states.set(port, [...this.#states.get(port) ?? [], state]);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  };

  /** The states up to this one, once it has come so many times. */
  async until(port: number, state: ConnState, times = 1): Promise<ConnState[]> {
    for (;;) {
      const states = this.#states.get(port) ?? [];
      if (states.filter((each) => each === state).length >= times) return states;
      await this.#changed.promise;
    }
  }
}

for (const engine of engines) {
  const on = `[${runtime}, ${engine}]`;

  if (engine === "bun" || engine === "deno-serve") {
    test(`${on} onConnState is refused by an engine that does not show its connections`, async () => {
      const options = { port: 0, engine, onConnState: () => {} };
      await assertRejects(() => serve(() => new Response(), options), TypeError, "'onConnState'");
    });
    continue;
  }

  test(`${on} onConnState tells the states of a connection that is kept alive`, async () => {
    const recorder = new Recorder();
    const { server } = await start(engine, { onConnState: recorder.record });
    const client = await connect(server.addr);
    const port = client.socket.localPort!;
    assertEquals(await recorder.until(port, "new"), ["new"]);
    for (let times = 1; times <= 2; times++) {
      client.write(request("/hello"));
      await client.response();
      await recorder.until(port, "idle", times);
    }
    client.socket.end();
    assertEquals(
      await recorder.until(port, "closed"),
      ["new", "active", "idle", "active", "idle", "closed"],
    );
  });

  test(`${on} onConnState tells the states of a connection that the client wants closed`, async () => {
    const recorder = new Recorder();
    const { server } = await start(engine, { onConnState: recorder.record });
    const client = await connect(server.addr);
    client.write(request("/hello", "Connection: close"));
    await client.response();
    const states = await recorder.until(client.socket.localPort!, "closed");
    assertEquals(states, ["new", "active", "closed"]);
  });

  test(`${on} onConnState tells the states of a connection that never asks for anything`, async () => {
    const recorder = new Recorder();
    const { server } = await start(engine, { onConnState: recorder.record });
    const client = await connect(server.addr);
    const port = client.socket.localPort!;
    await recorder.until(port, "new");
    client.socket.end();
    assertEquals(await recorder.until(port, "closed"), ["new", "closed"]);
  });

  test(`${on} onConnState tells the states of a pipelined connection`, async () => {
    const recorder = new Recorder();
    const { server } = await start(engine, { onConnState: recorder.record });
    const client = await connect(server.addr);
    client.write(request("/hello") + request("/hello", "Connection: close"));
    await client.response();
    await client.response();
    const states = await recorder.until(client.socket.localPort!, "closed");
    assertEquals([states[0], states[1], states.at(-1)], ["new", "active", "closed"]);
    assertEquals(states.filter((state) => state === "active").length, 2);
  });
}

if (runtime === "deno") {
  test("[deno, deno] onConnState tells the states of a WebSocket", async () => {
    const { Deno } = globalThis as unknown as {
      Deno: { upgradeWebSocket(request: Request): { response: Response } };
    };
    const recorder = new Recorder();
    const server = await serve((request) => Deno.upgradeWebSocket(request).response, {
      port: 0,
      hostname: "127.0.0.1",
      onConnState: recorder.record,
    });
    const client = await connect(server.addr);
    client.write(webSocketUpgrade);
    const port = client.socket.localPort!;
    await recorder.until(port, "hijacked");
    client.vanish();
    assertEquals(await recorder.until(port, "closed"), ["new", "active", "hijacked", "closed"]);
    await server.close();
  });
}

test(`[${runtime}] onConnState has auto choose an engine that shows its connections`, async () => {
  const fixture = await start("auto" as "node", { onConnState: () => {} });
  assertEquals(fixture.server.engine, runtime === "deno" ? "deno" : "node");
});
