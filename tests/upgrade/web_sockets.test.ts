/** What the clients of WebSockets are told at a restart, and at the end. */
import { test } from "node:test";
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import { runtime } from "../support/fixture.ts";
import { SOON } from "../support/generations.ts";
import { run } from "../support/process.ts";
import { RawWebSocket, TEXT } from "../../support/raw_web_socket.ts";

test(`[${runtime}] graceful() closes WebSockets with 1012 at a restart, and with 1001 at the end`, async () => {
  const program = run("websockets/chat.ts", [], ["--allow-all"]);
  const says = (pattern: RegExp) => deadline(program.says(pattern), SOON);
  const first = Number(await says(/^up: (\d+) /m));
  const addr: Addr = JSON.parse(await says(/^up: \d+ (.*);$/m));
  const old = await deadline(RawWebSocket.open(addr), SOON);
  old.send(TEXT, "hello");
  assertEquals(await deadline(old.text(), SOON), "hello");

  program.signal("SIGHUP");
  assertEquals(await deadline(old.text(), SOON), "the server leaves");
  assertEquals(await deadline(old.closeFrame(), SOON), [1012, ""]);
  // The client comes back, as the code asks it to.
  const fresh = await deadline(RawWebSocket.open(addr), SOON);
  fresh.send(TEXT, "here again");
  assertEquals(await deadline(fresh.text(), SOON), "here again");
  old.answerClose(1012);
  await says(new RegExp(`^down: ${first} upgraded 0;`, "m"));

  const second = Number([...program.output.matchAll(/^up: (\d+) /gm)].at(-1)![1]);
  assert(second !== first);
  process.kill(second, "SIGTERM");
  assertEquals(await deadline(fresh.text(), SOON), "the server leaves");
  assertEquals(await deadline(fresh.closeFrame(), SOON), [1001, ""]);
  fresh.answerClose();
  await says(new RegExp(`^down: ${second} SIGTERM 0;`, "m"));
});
