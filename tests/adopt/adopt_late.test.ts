/** Connections that an adopted server of Node's modules has when its shutdown starts, however they came. */
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { Gate, listening } from "../support/adopted.ts";
import { pem, runtime } from "../support/fixture.ts";

/** In ms: less than a kept-alive connection stays open by itself. */
const SOON = 4_000;

test(`[${runtime}, adopted http.Server] shutdown() closes a connection whose upload ends after its early answer`, async () => {
  const native = http.createServer((_req, res) => void res.end("early"));
  native.keepAliveTimeout = 0;
  const server = adopt(native);
  await listening(native);
  const client = await connect(server.addr);
  client.write(request("POST /", "Content-Length: 10") + "123");
  assertEquals((await deadline(client.response(), SOON)).body, "early");
  const done = server.shutdown();
  client.write("4567890");
  assertEquals((await deadline(done, SOON)).reason, "drained");
});

// The exception: Bun closes such a connection behind its first response, pinned in native.test.ts.
if (runtime !== "bun") {
  test(`[${runtime}, adopted http.Server] shutdown() answers every request of a pipeline`, async () => {
    const gate = new Gate();
    const native = http.createServer(async (req, res) => {
      if (req.url === "/1") await gate.answer("/wait");
      res.end(req.url);
    });
    const server = adopt(native);
    await listening(native);
    const client = await connect(server.addr);
    client.write(request("/1") + request("/2") + request("/3"));
    await deadline(gate.arrived, SOON);
    const done = server.shutdown();
    gate.open();
    const bodies = [];
    for (let i = 0; i < 3; i++) bodies.push((await deadline(client.response(), SOON)).body);
    assertEquals(bodies, ["/1", "/2", "/3"]);
    await deadline(done, SOON);
  });
}

if (runtime === "node") {
  for (const how of ["given to it", "unreferenced"]) {
    test(`[node, adopted http.Server] shutdown() waits for a request on a socket that was ${how}`, async () => {
      const gate = new Gate();
      const native = http.createServer(async (req, res) => {
        if (how === "unreferenced") req.socket.unref();
        res.end(req.url === "/wait" ? await gate.answer("/wait") : "hello");
      });
      const server = adopt(native);
      await listening(native);
      // An ordinary request shows the driver that it can rely on Node.
      const first = await connect(server.addr);
      first.write(request("/", "Connection: close"));
      await deadline(first.closed, SOON);
      const front = net.createServer((socket) => void native.emit("connection", socket));
      front.listen(0, "127.0.0.1");
      await once(front, "listening");
      // The cast: it listens on TCP.
      const { port } = front.address() as net.AddressInfo;
      const client = await connect(
        how === "given to it" ? { transport: "tcp", hostname: "127.0.0.1", port } : server.addr,
      );
      client.write(request("/wait"));
      await deadline(gate.arrived, SOON);
      const done = server.shutdown();
      gate.open();
      const { body, headers } = await deadline(client.response(), SOON);
      assertEquals([body, headers["connection"]], ["waited", "close"]);
      await deadline(done, SOON);
      front.close();
    });
  }

  test("[node, adopted https.Server] connections() lists an upgraded connection as hijacked", async () => {
    const native = https.createServer(pem, (_req, res) => void res.end("hello"));
    const upgraded = Promise.withResolvers<net.Socket>();
    native.on("upgrade", (_req, socket: net.Socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
      upgraded.resolve(socket);
    });
    const server = adopt(native);
    await listening(native);
    const client = await connect(server.addr, { alpn: "http/1.1" });
    client.write(request("/", "Upgrade: x", "Connection: Upgrade"));
    const socket = await deadline(upgraded.promise, SOON);
    assertEquals(server.connections().map(({ state }) => state), ["hijacked"]);
    const done = server.shutdown();
    socket.end();
    await deadline(done, SOON);
  });
}
