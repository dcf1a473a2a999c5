/** Which handshakes are connections that the kernel withholds, and how long it may withhold them. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import type { Handshake } from "../../../src/runtime/linux/socket_diagnosis.ts";
import { LONGEST_WITHHELD, WithheldConns } from "../../../src/runtime/linux/withheld_conns.ts";
import { runtime } from "../../support/fixture.ts";

function handshake(port: number, repeats: number, age: number): Handshake {
  const client = { transport: "tcp", hostname: "127.0.0.1", port } as const;
  return { client, repeats, age, family: 2, id: new Uint8Array() };
}

const ports = ({ left }: WithheldConns) =>
  left.map(({ remoteAddr }) => remoteAddr.transport === "tcp" && remoteAddr.port);

test(`[${runtime}] WithheldConns lists the handshakes that the kernel has not repeated`, () => {
  const all = [handshake(1, 0, 10), handshake(2, 1, 10), handshake(3, 1, 900)];
  const conns = new WithheldConns({ all: () => all, again: (left) => left });
  assertEquals(ports(conns), [1]);
  assertEquals(conns.left.map(({ state, age }) => [state, age]), [["new", 10]]);
});

test(`[${runtime}] WithheldConns waits for the answer to a repetition, and no longer`, () => {
  let age = 10;
  const conns = new WithheldConns({
    all: () => [handshake(1, 1, age)],
    again: (left) => left.map(() => handshake(1, 1, age)),
  });
  assertEquals(conns.isEmpty, false);
  age = 600;
  conns.look();
  assertEquals(conns.isEmpty, true);
});

test(`[${runtime}] WithheldConns looks only for the handshakes that were found first`, () => {
  let asked: readonly Handshake[] = [];
  let left = [handshake(1, 0, 0), handshake(2, 0, 0)];
  const conns = new WithheldConns({
    all: () => left,
    again: (handshakes) => {
      asked = handshakes;
      return left;
    },
  });
  left = [handshake(2, 0, 500)];
  conns.look();
  conns.look();
  assertEquals(asked.map(({ client }) => client.port), [2]);
});

test(`[${runtime}] WithheldConns waits for as long as anything can be withheld, if the kernel does not tell`, async () => {
  const conns = new WithheldConns({ all: () => undefined, again: () => undefined });
  conns.look();
  assertEquals([conns.isEmpty, conns.left], [false, []]);
  await new Promise((resolve) => setTimeout(resolve, LONGEST_WITHHELD + 20));
  assertEquals(conns.isEmpty, true);
});
