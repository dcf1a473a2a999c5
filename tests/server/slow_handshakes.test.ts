/** The clients that are connecting when a shutdown begins, over a network whose round trips take a while. */
import { test } from "node:test";
import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { programOf } from "../../support/runtimes.ts";
import { engines, runtime } from "../support/fixture.ts";
import { commandOf, Program } from "../support/process.ts";

const file = (name: string) => fileURLToPath(new URL(`../programs/${name}.ts`, import.meta.url));

const SERVICE = file("kinds_of_service");

const canSimulate = process.platform === "linux" &&
  spawnSync("unshare", ["--net", "sh", "-c", "ip tuntap add dev slow0 mode tun"]).status === 0;
const reason = canSimulate ? "" : " (skipped: no TUN devices in a namespace)";

const kinds = [...engines, "tcp", "adopt", ...(runtime === "node" ? [] : ["adopt-native"])];

/** Ends a service while five clients connect to it, and returns how many of them are answered. */
async function answered(service: readonly string[], kind: string): Promise<number> {
  const clients = [programOf("bun"), file("slow_handshakes"), ...service, "10.9.0.1", "9000", kind];
  const program = new Program(
    spawn("unshare", ["--net", ...clients], { stdio: ["ignore", "pipe", "pipe"] }),
  );
  assertEquals(await program.exit, 0, program.output);
  assertEquals(await program.says(/ended: (\d+);/), "0", program.output);
  return Number(await program.says(/answered: (\d+);/));
}

for (const kind of kinds) {
  test(`[${runtime}, ${kind}] shutdown() serves the clients whose handshake has begun${reason}`, {
    skip: !canSimulate,
  }, async () => {
    assertEquals(await answered(commandOf(SERVICE), kind), 5);
  });
}

const [program, ...flags] = commandOf(SERVICE, ["--allow-net", "--allow-env", "--allow-read"]);
const withoutFFI = [program, ...(runtime === "node" ? ["--no-experimental-ffi"] : []), ...flags];

// Bun needs no permission for its FFI.
if (runtime !== "bun") {
  test(
    `[${runtime}, without FFI] shutdown() resets the clients whose handshake has begun, an exception${reason}`,
    {
      skip: !canSimulate,
    },
    async () => {
      assertEquals(await answered(withoutFFI, engines[0]!), 0);
    },
  );
}
