/** Servers of one process that share a port with SO_REUSEPORT may stop one by one. */
import { test } from "node:test";
import process from "node:process";
import { assert } from "@std/assert";
import { deadline } from "@std/async";
import { engines, hasKernelHelp, runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms. */
const SOON = 20_000;

const isLinux = process.platform === "linux" && hasKernelHelp;

for (const engine of engines) {
  // Elsewhere the kernel does not spread connections over the sockets of a port. Node shows each of its sockets.
  const skip = !isLinux || runtime === "node";
  test(
    `[${runtime}, ${engine}] shutdown() loses no connection when servers of one process that share a port stop one by one`,
    {
      skip,
    },
    async () => {
      const permissions = ["--allow-all", "--unstable-net"];
      const servers = run("shared_listeners.ts", [engine], permissions);
      const port = /\d+/.exec(await deadline(servers.says(/port: \d+;/), SOON))![0];
      const clients = run("hasty_clients.ts", [port, "24", "0"]);
      await deadline(clients.says(/asking/), SOON);
      servers.signal("SIGUSR2");
      await deadline(servers.says(/replaced;/), SOON);
      clients.signal("SIGTERM");
      const said = await deadline(clients.says(/answered.*;/), SOON);
      servers.signal("SIGTERM");
      const lost = Number(/lost: (\d+)/.exec(said)?.[1]);
      // Deno's own stop ends a connection that is accepted and whose request has not started yet, which is rare.
      assert(lost <= (engine === "deno-serve" ? 2 : 0), said);
    },
  );
}
