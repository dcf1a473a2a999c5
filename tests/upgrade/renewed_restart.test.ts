/** Restarts and renewals of one service: what each process presents, and that neither loses a connection. */
import { test } from "node:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { authority, first, get, second, see } from "../support/certificates.ts";
import { engines, temporaryFolder } from "../support/fixture.ts";
import { run } from "../support/process.ts";
import { runtime } from "../support/fixture.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;

for (const engine of engines) {
  for (const handoff of runtime === "node" ? ["inherit"] : ["inherit", "reuseport"]) {
    test(`[${runtime}, ${engine}, ${handoff}] Upgrader restarts a service whose certificate was renewed, and the successor renews it again`, async () => {
      const folder = temporaryFolder();
      const put = ({ cert, key }: { cert: string; key: string }) => {
        writeFileSync(join(folder, "cert.pem"), cert);
        writeFileSync(join(folder, "key.pem"), key);
      };
      put(first);
      const program = run("renewable.ts", [folder, engine, handoff], [
        "--allow-all",
        "--unstable-net",
      ]);
      const says = (pattern: RegExp) => deadline(program.says(pattern), SOON);
      const old = Number(await says(/^up: (\d+)/m));
      const addr = JSON.parse(await says(/^up: \d+ \S+ (.*);/m)) as Addr;
      const nameOf = async () => (await see(addr)).name;

      assertEquals(await nameOf(), "first");
      const before = await connect(addr, { tls: {} });
      before.write(request("/wait"));
      await says(new RegExp(`waits: ${old};`));
      put(second);
      process.kill(old, "SIGUSR2");
      await says(new RegExp(`^renewed: ${old};`, "m"));
      assertEquals(await nameOf(), "second");
      const after = await connect(addr, { tls: { ca: authority } });
      after.write(request("/wait"));
      await says(new RegExp(`waits: ${old};[^]*waits: ${old};`));

      process.kill(old, "SIGHUP");
      const young = Number(await says(/^up: \d+[^]*^up: (\d+)/m));
      while (await get(addr, "/", { ca: authority }) !== String(young));
      assertEquals(await nameOf(), "second");
      process.kill(old, "SIGUSR1");
      for (const client of [before, after]) {
        assertEquals((await deadline(client.response(), SOON)).body, String(old));
      }
      await says(new RegExp(`^down: ${old};`, "m"));

      put(first);
      process.kill(young, "SIGUSR2");
      await says(new RegExp(`^renewed: ${young};`, "m"));
      assertEquals(await nameOf(), "first");
      assertEquals(await get(addr, "/", { ca: authority }), String(young));
      process.kill(young, "SIGTERM");
      await says(new RegExp(`^down: ${young};`, "m"));
      assert(!program.output.includes("not renewed"), program.output);
    });
  }
}
