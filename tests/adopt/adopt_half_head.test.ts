/** An adopted server answers a request of which only a part had come when its drain started. */
import { test } from "node:test";
import http from "node:http";
import https from "node:https";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt } from "../../mod.ts";
import { listening } from "../support/adopted.ts";
import { connect, request } from "../../support/client.ts";
import { pem, runtime } from "../support/fixture.ts";

/** In ms. */
const SOON = 8_000;

const makers = {
  "http.Server": () => http.createServer((_req, res) => void res.end("hello")),
  "https.Server": () => https.createServer(pem, (_req, res) => void res.end("hello")),
};

for (const [kind, make] of Object.entries(makers)) {
  for (const at of [4, 17, 30]) {
    test(`[${runtime}, adopted ${kind}] adopt() serves a second request of which ${at} bytes have come`, async () => {
      const native = make();
      const server = adopt(native);
      await listening(native);
      const tls = kind === "https.Server" ? { alpn: "http/1.1" } : {};
      const idle = await connect(server.addr, tls);
      const half = await connect(server.addr, tls);
      for (const client of [idle, half]) {
        client.write(request("/"));
        assertEquals((await deadline(client.response(), SOON)).body, "hello");
      }
      const second = request("/second");
      half.write(second.slice(0, at));
      // What comes later has come after it.
      const later = await connect(server.addr, tls);
      later.write(request("/", "Connection: close"));
      await later.response();
      await later.closed;
      const done = server.shutdown({ timeout: SOON });
      await deadline(idle.closed, SOON);
      half.write(second.slice(at));
      const { body, headers } = await deadline(half.response(), SOON);
      assertEquals([body, headers["connection"]?.toLowerCase()], ["hello", "close"]);
      await deadline(half.closed, SOON);
      const report = await deadline(done, SOON);
      assertEquals([report.idle, report.forced], [1, 0]);
    });
  }
}
