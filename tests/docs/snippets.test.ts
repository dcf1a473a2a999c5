/** Every snippet of the Markdown pages and every example of a docstring runs as printed. */
import { test } from "node:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import * as exported from "../../mod.ts";
import { connect, request } from "../../support/client.ts";
import { authority, first, named } from "../support/certificates.ts";
import { runtime } from "../support/fixture.ts";
import { run } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;

const root = new URL("../../", import.meta.url);

/** The TypeScript of a Markdown text, or of the examples in a source file. */
function snippetsOf(file: string): string[] {
  const text = readFileSync(new URL(file, root), "utf8");
  const isSource = file.endsWith(".ts");
  const fence = isSource ? /^ *\* ```ts\n([\s\S]*?)^ *\* ```$/gm : /^```ts\n([\s\S]*?)^```$/gm;
  return [...text.matchAll(fence)].map(([, code]) =>
    isSource ? code!.replace(/^ *\* ?/gm, "") : code!
  );
}

function sources(folder: string): string[] {
  return readdirSync(new URL(folder, root), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts")).map((name) => `${folder}${name}`);
}

/** The pages at the root and in docs/. */
function pages(): string[] {
  return ["", "docs/"].flatMap((folder) =>
    readdirSync(new URL(`./${folder}`, root)).filter((name) => name.endsWith(".md"))
      .map((name) => `${folder}${name}`)
  );
}

/**
 * Whether this runtime can run the snippet: the globals `Deno` and `Bun` belong to one runtime each, and so
 * do the modules `hono/deno` and `hono/bun`.
 */
function isForThisRuntime(code: string): boolean {
  const [, global, module] = /\b(Deno|Bun)\.|"hono\/(deno|bun)"/.exec(code) ?? [];
  const owner = global ?? module;
  return owner === undefined || owner.toLowerCase() === runtime;
}

/** Inside the package, so that its own name resolves. */
const folder = new URL(`../programs/snippets-${runtime}-${process.pid}/`, import.meta.url);

for (const file of [...pages(), "mod.ts", ...sources("src/")]) {
  for (const [index, code] of snippetsOf(file).entries()) {
    if (!isForThisRuntime(code)) continue;
    test(`[${runtime}] ${file} has a snippet ${index + 1} that runs`, async () => {
      assert(code.includes('from "@x/graceful'), "a reader can paste it");
      mkdirSync(folder, { recursive: true });
      try {
        writeFileSync(new URL("snippet.ts", folder), code);
        for (const [name, pem] of Object.entries(CERTIFICATES)) {
          writeFileSync(new URL(name, folder), pem);
        }
        await runSnippet(code);
      } finally {
        rmSync(fileURLToPath(folder), { recursive: true, force: true });
      }
    });
  }
}

/** The blocks of the pages that need packages which are not installed here. */
function unrunSnippetsOf(page: string): string[] {
  const text = readFileSync(new URL(page, root), "utf8");
  return [...text.matchAll(/^```ts not-run\n([\s\S]*?)^```$/gm)].map(([, code]) => code!);
}

if (runtime === "node") {
  for (const page of pages()) {
    for (const [index, code] of unrunSnippetsOf(page).entries()) {
      test(`[node] ${page} has a snippet ${index + 1} that is not run, but parses, and imports what exists`, async () => {
        const { stripTypeScriptTypes } = await import("node:module");
        stripTypeScriptTypes(code);
        const [, names] = /^import \{ (.+) \} from "@x\/graceful";$/m.exec(code) ?? [];
        assert(names !== undefined, "a reader can paste it");
        for (const name of names.split(", ")) assert(name in exported, name);
      });
    }
  }
}

/** The files of certificates that the snippets read. */
const CERTIFICATES: Readonly<Record<string, string>> = {
  "tls.crt": first.cert,
  "tls.key": first.key,
  "api.crt": named.cert,
  "api.key": named.key,
  "ca.crt": authority,
};

/** Runs the program. A program that waits for a signal is asked something first, and then gets one. */
async function runSnippet(code: string): Promise<void> {
  const importMap = fileURLToPath(new URL("../std/import_map.json", import.meta.url));
  const program = run(`${folder.pathname.split("/").at(-2)}/snippet.ts`, [], [
    "--allow-all",
    `--import-map=${importMap}`,
  ]);
  const tries = new AbortController();
  try {
    if (code.includes("await graceful(")) {
      // It has called graceful by the time that it answers.
      await deadline(
        Promise.race([answered(code.includes("cert"), tries.signal), program.exit]),
        SOON,
      );
      program.signal("SIGTERM");
    }
    const expected = /\/\/ (hello|true|drained \[\])$/m.exec(code)?.[1];
    assertEquals(await deadline(program.exit, SOON), 0, program.output);
    if (expected !== undefined) {
      await program.says(new RegExp(expected.replace(/[[\]]/g, "\\$&")));
    }
  } finally {
    tries.abort();
    program.kill();
  }
}

/** Resolves when the program has answered a request, or when nobody waits for that any more. */
async function answered(isSecure: boolean, signal: AbortSignal): Promise<void> {
  const addr = { transport: "tcp", hostname: "127.0.0.1", port: 9_527 } as const;
  while (!signal.aborted) {
    try {
      const client = await connect(addr, isSecure ? { alpn: "http/1.1" } : {});
      // A connection that is kept alive would have its second of grace.
      client.write(request("/", "Connection: close"));
      await client.response();
      return;
    } catch {
      // It does not listen yet.
    }
  }
}
