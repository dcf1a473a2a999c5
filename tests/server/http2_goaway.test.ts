/** The end of an HTTP/2 session: no stream is lost that crosses the GOAWAY on the wire (RFC 9113, 6.8). */
import { test } from "node:test";
import http2 from "node:http2";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { adopt, type Engine, type Server } from "../../mod.ts";
import { Gate, listening } from "../support/adopted.ts";
import { engines, pem, runtime, start } from "../support/fixture.ts";
import { type Frame, Http2Client } from "../support/http2_client.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 10_000;

/** In ms: a little less than the time that a client has to answer a PING. */
const ROUND_TRIP = 900;

/**
 * What a session is sent: two GOAWAYs with a PING between them; the same by the runtime, once no stream is
 * in flight; or the final one alone.
 */
type Kind = "two" | "two, by the runtime" | "one";

/** A server, with a route "/wait" whose gate it has. */
interface Started {
  readonly server: Server;
  /** Resolves when a request for "/wait" has come. */
  arrived(): Promise<void>;
  open(): void;
}

interface Case {
  readonly name: string;
  readonly kind: Kind;
  readonly plain: boolean;
  start(): Promise<Started>;
}

function kindOf(engine: string, plain: boolean): Kind {
  if (engine === "deno" || engine === "deno-serve") return "two, by the runtime";
  if (runtime === "bun") return engine === "bun" ? "one" : "two";
  return runtime === "node" && plain ? "two" : "one";
}

/** A server of `serve`. Without TLS Deno alone speaks HTTP/2. */
function served(engine: Engine, plain: boolean): Case {
  return {
    name: `engine ${engine}${plain ? ", plain" : ""}`,
    kind: kindOf(engine, plain),
    plain,
    async start() {
      const fixture = await start(engine, plain ? {} : pem);
      const { server } = fixture;
      return { server, arrived: () => fixture.arrived("/wait"), open: () => fixture.open() };
    },
  };
}

const cases: Case[] = [
  ...engines.map((engine) => served(engine, false)),
  ...engines.filter((engine) => engine.startsWith("deno")).map((engine) => served(engine, true)),
  ...[false, true].map((plain) => ({
    name: `adopted node:http2, ${plain ? "plain" : "secure"}`,
    kind: kindOf("node", plain),
    plain,
    async start() {
      const gate = new Gate();
      const native = plain ? http2.createServer() : http2.createSecureServer(pem);
      native.on(
        "request",
        async (req: http2.Http2ServerRequest, res: http2.Http2ServerResponse) => {
          res.end(await gate.answer(req.url));
        },
      );
      await listening(native);
      const server = adopt(native);
      return { server, arrived: () => gate.arrived, open: () => gate.open() };
    },
  })),
];

/** The stream id that a GOAWAY names. */
function idOf({ payload }: Frame): number {
  return [...payload.slice(0, 4)].reduce((id, byte) => id * 256 + byte.charCodeAt(0), 0);
}

function goaways({ frames }: Http2Client): number[] {
  return frames.filter(({ type }) => type === "GOAWAY").map(idOf);
}

const LARGEST = 2 ** 31 - 1;
const isFirst = (frame: Frame) => frame.type === "GOAWAY" && idOf(frame) === LARGEST;
const isFinal = (frame: Frame) => frame.type === "GOAWAY" && idOf(frame) !== LARGEST;
const isEndOf = (stream: number) => (frame: Frame) =>
  frame.type === "DATA" && frame.stream === stream && frame.flags === 1;

for (const { name, kind, plain, start } of cases) {
  const on = `[${runtime}, ${name}]`;
  const connect = ({ server }: Started) =>
    deadline(Http2Client.connect(server.addr, { plain, holdsPings: true }), SOON);

  test(`${on} shutdown() answers a stream that crosses the first GOAWAY`, async () => {
    const started = await start();
    const client = await connect(started);
    client.get(1, "/hello");
    await deadline(client.receives(isEndOf(1)), SOON);
    const done = started.server.shutdown();
    await deadline(client.receives(({ type }) => type === "GOAWAY"), SOON);
    client.get(3, "/hello");
    if (kind === "one") {
      // Bun and node close the session behind it.
      await deadline(client.ended, SOON);
      assertEquals(goaways(client)[0], 1, "this exception is no more");
      assertEquals(client.body(3), "");
    } else {
      await deadline(client.receives(isEndOf(3)), SOON);
      assertEquals(client.body(3), "hello");
      assertEquals(goaways(client), [LARGEST]);
      await deadline(client.answerPing(), SOON);
      assertEquals(idOf(await deadline(client.receives(isFinal), SOON)), 3);
      await deadline(client.ended, SOON);
    }
    await deadline(done, SOON);
    client.vanish();
  });

  if (kind === "two") {
    test(`${on} shutdown() finishes streams in flight, and processes none behind the final GOAWAY`, async () => {
      const started = await start();
      const client = await connect(started);
      client.get(1, "/wait");
      await deadline(started.arrived(), SOON);
      const done = started.server.shutdown();
      await deadline(client.receives(isFirst), SOON);
      client.get(3, "/hello");
      await deadline(client.answerPing(), SOON);
      assertEquals(idOf(await deadline(client.receives(isFinal), SOON)), 3);
      client.get(5, "/hello");
      await deadline(client.pong(), SOON);
      started.open();
      await deadline(client.ended, SOON);
      assertEquals([1, 3, 5].map((stream) => client.body(stream)), ["waited", "hello", ""]);
      assertEquals(goaways(client).filter((id) => id !== LARGEST && id !== 3), []);
      assertEquals((await deadline(done, SOON)).reason, "drained");
    });

    test(`${on} shutdown() holds up the final GOAWAY for a second when nobody answers its PING`, async () => {
      const started = await start();
      const client = await connect(started);
      client.get(1, "/wait");
      await deadline(started.arrived(), SOON);
      const done = started.server.shutdown();
      await deadline(client.receives(isFirst), SOON);
      const sent = performance.now();
      await deadline(client.receives(isFinal), SOON);
      assert(performance.now() - sent > ROUND_TRIP);
      started.open();
      await deadline(client.ended, SOON);
      assertEquals(client.body(1), "waited");
      assertEquals((await deadline(done, SOON)).reason, "drained");
    });
  }

  if (kind === "one" && name !== "engine bun") {
    test(`${on} shutdown() sends its only GOAWAY behind a stream, when the next one is the furthest away`, async () => {
      const started = await start();
      const client = await connect(started);
      client.get(1, "/wait");
      await deadline(started.arrived(), SOON);
      started.open();
      await deadline(client.receives(isEndOf(1)), SOON);
      const told = new Promise<void>((resolve) => started.server.onShutdown(() => resolve()));
      const done = started.server.shutdown({ idleGrace: SOON });
      await deadline(told, SOON);
      client.get(3, "/hello");
      await deadline(client.ended, SOON);
      assertEquals(client.body(3), "hello");
      assertEquals(goaways(client)[0], 3);
      await deadline(done, SOON);
    });
  }

  if (kind === "two, by the runtime") {
    test(`${on} shutdown() finishes streams in flight, and those that begin beside them`, async () => {
      const started = await start();
      const client = await connect(started);
      client.get(1, "/wait");
      await deadline(started.arrived(), SOON);
      const told = new Promise<void>((resolve) => started.server.onShutdown(() => resolve()));
      const done = started.server.shutdown();
      await deadline(told, SOON);
      for (const stream of [3, 5]) {
        client.get(stream, "/hello");
        await deadline(client.receives(isEndOf(stream)), SOON);
      }
      started.open();
      await deadline(client.answerPing(), SOON);
      await deadline(client.ended, SOON);
      assertEquals([1, 3, 5].map((stream) => client.body(stream)), ["waited", "hello", "hello"]);
      await deadline(done, SOON);
    });

    test(`${on} shutdown() loses a stream that crosses to the client's own GOAWAY`, async () => {
      const started = await start();
      const client = await connect(started);
      client.get(1, "/hello");
      await deadline(client.receives(isEndOf(1)), SOON);
      const done = started.server.shutdown();
      await deadline(client.receives(isFirst), SOON);
      client.get(3, "/wait");
      client.goAway();
      await deadline(started.arrived(), SOON);
      // It has read the GOAWAY by then.
      await deadline(Promise.race([client.pong(), client.ended]), SOON);
      started.open();
      await deadline(client.answerPing(), SOON);
      await deadline(client.ended, SOON);
      // Of h2 before 0.4.14: https://github.com/hyperium/h2/pull/886
      assertEquals(client.body(3), "", "this exception is no more: send GOAWAY at once");
      await deadline(done, SOON);
    });
  }
}
