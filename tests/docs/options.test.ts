/** The page of options names every option of the runtimes' own servers, and what it says of each is so. */
import { test } from "node:test";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { serve } from "../../mod.ts";
import { runtime } from "../support/fixture.ts";

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const file = (name: string) => readFileSync(path(name), "utf8");

/** The rows of the table below a heading: the option, and what becomes of it. */
function table(heading: string): Map<string, string> {
  const section = file("docs/options.md").split("\n### ").find((part) => part.startsWith(heading))!;
  return new Map(
    [...section.matchAll(/^\| `(\w+)` +\| (.*?) +\|$/gm)].map(([, name, fate]) => [name!, fate!]),
  );
}

/** The names of the members of an interface or a type in a declaration file. */
function members(declarations: string, start: string): string[] {
  const from = declarations.indexOf(start);
  assert(from >= 0, `${start} is declared`);
  const body = declarations.slice(from);
  const indent = /^ *(?=})/m.exec(body.slice(body.indexOf("\n")))![0];
  const end = body.indexOf(`\n${indent}}`);
  const found = body.slice(body.indexOf("{"), end).matchAll(
    new RegExp(`^ {${indent.length + 2},${indent.length + 6}}(\\w+)\\??[:(]`, "gm"),
  );
  return [...new Set([...found].map(([, name]) => name!))];
}

function optionsOfNode(): string[] {
  return members(file("node_modules/@types/node/http.d.ts"), "interface ServerOptions<");
}

function optionsOfBun(): string[] {
  const declarations = file("node_modules/bun-types/serve.d.ts");
  return [
    "type FetchOrRoutesWithWebSocket<",
    "interface BaseServeOptions<",
    "interface HostnamePortServeOptions<",
    "interface UnixServeOptions<",
  ].flatMap((start) => members(declarations, start)).concat("fetch", "routes");
}

function optionsOfDeno(): string[] {
  const declarations = execFileSync(path("node_modules/.bin/deno"), ["types"], {
    encoding: "utf8",
    maxBuffer: 100_000_000,
  });
  return [
    "export interface ServeOptions<",
    "export interface ServeTcpOptions ",
    "export interface ServeUnixOptions ",
    "export interface ServeVsockOptions ",
    "export interface ServeInit<",
    "export interface TlsCertifiedKeyPem ",
  ].flatMap((start) => members(declarations, start))
    // How the certificate is encoded, of which there is one way.
    .filter((name) => name !== "keyFormat");
}

const servers = {
  "`Bun.serve`": { names: optionsOfBun, block: "bun" },
  "`Deno.serve`": { names: optionsOfDeno, block: "deno" },
  "`http.createServer`": { names: optionsOfNode, block: "node" },
};

for (const [heading, { names, block }] of Object.entries(servers)) {
  test(`[${runtime}] docs/options.md lists each option of ${heading} that the runtime declares`, () => {
    assertEquals([...table(heading).keys()].sort(), [...new Set(names())].sort());
  });

  for (const [name, fate] of table(heading)) {
    if (/^(same|\*\*milliseconds)/.test(fate)) continue;
    test(`[${runtime}] serve() says of '${name}': ${fate}`, async () => {
      const advice = fate.startsWith(`in \`${block}\``)
        ? `it belongs in '${block}'`
        : fate.startsWith("the first argument")
        ? "the handler is the first argument"
        : fate.startsWith("refused")
        ? ""
        : `'${/`(\w+)`/.exec(fate)![1]}'`;
      // The cast: no type checker lets such options pass.
      const refused = (options: object, name: string) =>
        assertRejects(
          async () => void await serve(() => new Response("hello"), options as never),
          TypeError,
          `'${name}' is not an option: `,
        );
      assertStringIncludes((await refused({ [name]: 1 }, name)).message, advice);
      if (!fate.startsWith("in ")) await refused({ [block]: { [name]: 1 } }, `${block}.${name}`);
    });
  }
}
