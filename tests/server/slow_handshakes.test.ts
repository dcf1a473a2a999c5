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

const canSimulate = process.platform === "linux" &&
  spawnSync("unshare", ["--net", "sh", "-c", "ip tuntap add dev slow0 mode tun"]).status === 0;
const reason = canSimulate ? "" : " (skipped: no TUN devices in a namespace)";

const kinds = [...engines, "tcp", "adopt", ...(runtime === "node" ? [] : ["adopt-native"])];

for (const kind of kinds) {
  test(`[${runtime}, ${kind}] shutdown() serves the clients whose handshake has begun${reason}`, {
    skip: !canSimulate,
  }, async () => {
    const service = [
      ...commandOf(file("kinds_of_service"), ["--allow-all"]),
      "10.9.0.1",
      "9000",
      kind,
    ];
    const clients = [programOf("bun"), file("slow_handshakes"), ...service];
    const program = new Program(
      spawn("unshare", ["--net", ...clients], { stdio: ["ignore", "pipe", "pipe"] }),
    );
    assertEquals(await program.exit, 0, program.output);
    assertEquals(await program.says(/answered: (\d+);/), "5", program.output);
    assertEquals(await program.says(/ended: (\d+);/), "0", program.output);
  });
}
