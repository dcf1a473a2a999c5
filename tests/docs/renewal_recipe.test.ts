/** The recipe of docs/tls.md renews the certificate at its signal, and when a file has changed. */
import { test } from "node:test";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { first, second, see } from "../support/certificates.ts";
import { runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";
import { freePort } from "../../support/ports.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;

const ways = {
  "a signal": { interval: "60_000", signal: true },
  "a change": { interval: "50", signal: false },
};

for (const [way, { interval, signal }] of Object.entries(ways)) {
  test(`[${runtime}] setCertificate() in the recipe of docs/tls.md renews at ${way}`, async () => {
    const page = readFileSync(new URL("../../docs/tls.md", import.meta.url), "utf8");
    const [, recipe = ""] = /^```ts\n([^]*?)^```$/m.exec(page) ?? [];
    const port = await freePort();
    const code = recipe.replace("9527", String(port)).replace("60_000", interval);
    // Inside the package, so that its own name resolves.
    const name = `snippets-${runtime}-${process.pid}-${interval}`;
    const folder = new URL(`../programs/${name}/`, import.meta.url);
    const put = (generation: string, { cert, key }: { cert: string; key: string }) => {
      // As Kubernetes does it: the files are links into a folder that one link names.
      mkdirSync(new URL(`${generation}/`, folder), { recursive: true });
      writeFileSync(new URL(`${generation}/tls.crt`, folder), cert);
      writeFileSync(new URL(`${generation}/tls.key`, folder), key);
      symlinkSync(generation, new URL("next", folder));
      renameSync(new URL("next", folder), new URL("data", folder));
    };
    try {
      put("a", first);
      for (const file of ["tls.crt", "tls.key"]) symlinkSync(`data/${file}`, new URL(file, folder));
      writeFileSync(new URL("snippet.ts", folder), code);
      const importMap = fileURLToPath(new URL("../std/import_map.json", import.meta.url));
      const program = run(`${name}/snippet.ts`, [], ["--allow-all", `--import-map=${importMap}`]);
      const addr = { transport: "tcp", hostname: "127.0.0.1", port } as const;
      const presents = async (name: string) => {
        while ((await see(addr).catch(() => undefined))?.name !== name);
      };
      await deadline(presents("first"), SOON);
      put("b", second);
      if (signal) process.kill(program.child.pid!, "SIGUSR2");
      await deadline(program.says(/^renewed/m), SOON);
      await deadline(presents("second"), SOON);
      put("c", first);
      if (signal) process.kill(program.child.pid!, "SIGUSR2");
      await deadline(program.says(/^renewed\n(.*\n)*renewed/m), SOON);
      await deadline(presents("first"), SOON);
      program.signal("SIGTERM");
      assertEquals(await deadline(program.exit, SOON), 0, program.output);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
