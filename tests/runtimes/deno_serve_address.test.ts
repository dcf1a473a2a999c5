/** The address that a platform gives the first server of a process of Deno. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { deadline } from "@std/async";
import type { Addr } from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { freePorts } from "../../support/ports.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms. */
const SOON = 10_000;

const at = (port: number): Addr => ({ transport: "tcp", hostname: "127.0.0.1", port });

/** What answers at an address; "refused" if nothing does. */
async function answerAt(addr: Addr): Promise<string> {
  const client = await connect(addr).catch(() => undefined);
  if (client === undefined) return "refused";
  client.write(request("/", "Connection: close"));
  return (await deadline(client.response(), SOON)).body;
}

for (const engine of runtime === "deno" ? ["deno", "deno-serve", "node"] : []) {
  for (const kind of ["tcp", "unix"]) {
    for (const duplicate of [false, true]) {
      const prefix = duplicate ? "duplicate," : "";
      test(`[deno, ${engine}] serve() takes DENO_SERVE_ADDRESS=${prefix}${kind}:… for the first server`, async () => {
        const [own, second, given] = await freePorts(3) as [number, number, number];
        const path = join(temporaryFolder(), "socket");
        const givenAddr: Addr = kind === "tcp" ? at(given) : { transport: "unix", path };
        const value = kind === "tcp" ? `tcp:127.0.0.1:${given}` : `unix:${path}`;
        const env = { DENO_SERVE_ADDRESS: prefix + value };
        const program = run("serve_address.ts", [engine, `${own}`, `${second}`], undefined, env);
        const addr = JSON.parse(await program.says(/addr: (.*);/));
        assertEquals(addr, duplicate ? at(own) : givenAddr);
        assertEquals(await answerAt(givenAddr), "server 1");
        assertEquals(await answerAt(at(own)), duplicate ? "server 1" : "refused");
        assertEquals(await answerAt(at(second)), "server 2");
        program.signal("SIGTERM");
        assertEquals(await program.exit, 0);
        // The exception: node:http of Deno leaves the file of a socket that it was not told to open.
        assertEquals(existsSync(path), kind === "unix" && engine === "node");
      });
    }
  }

  test(`[deno, ${engine}] serve() passes over a DENO_SERVE_ADDRESS that is none`, async () => {
    const [own, second] = await freePorts(2) as [number, number];
    const env = { DENO_SERVE_ADDRESS: "somewhere" };
    const program = run("serve_address.ts", [engine, `${own}`, `${second}`], undefined, env);
    assertEquals(JSON.parse(await program.says(/addr: (.*);/)), at(own));
    program.kill();
    await program.exit;
  });
}

if (runtime === "deno") {
  const withoutEnv = ["--allow-net", "--allow-read"];

  test("[deno] serve() does not pass over DENO_SERVE_ADDRESS without the permission to read it", async () => {
    const [own, given] = await freePorts(2) as [number, number];
    const env = { DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${given}` };
    const hidden = run("serve_address.ts", ["deno", `${own}`], withoutEnv, env);
    assertEquals(await hidden.exit, 1);
    assertMatch(hidden.output, /allow it with --allow-env=DENO_SERVE_ADDRESS/);
    const served = run("serve_address.ts", ["deno-serve", `${own}`], withoutEnv, env);
    assertEquals(JSON.parse(await served.says(/addr: (.*);/)), at(given));
    served.kill();
    await served.exit;
  });

  test("[deno] serve() needs no permission where DENO_SERVE_ADDRESS is not set", async () => {
    const [own] = await freePorts(1) as [number];
    const program = run("serve_address.ts", ["deno", `${own}`], withoutEnv);
    assertEquals(JSON.parse(await program.says(/addr: (.*);/)), at(own));
    program.kill();
    await program.exit;
  });
}
