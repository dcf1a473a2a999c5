/** The Markdown pages: their links and the files that they name exist, and the README stays short. */
import { test } from "node:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { runtime } from "../support/fixture.ts";

/** More than this nobody reads who wants to know what the package is. */
const README_LINES = 150;

const root = fileURLToPath(new URL("../../", import.meta.url));
const textOf = (page: string) => readFileSync(root + page, "utf8");

function pagesIn(folder: string, recursive = true): string[] {
  return readdirSync(root + folder, { recursive, encoding: "utf8" })
    .map((name) => posix.join(folder, name.replaceAll("\\", "/")))
    .filter((name) => name.endsWith(".md")).sort();
}

// Not the folders in tests/, in which other tests make and remove files meanwhile.
const pages = [
  ...[".", "tests"].flatMap((folder) => pagesIn(folder, false)),
  ...["docs", "examples"].flatMap((folder) => pagesIn(folder)),
];

/** A page without its blocks of code. */
function proseOf(page: string): string {
  return textOf(page).replace(/^```[^]*?^```$/gm, "");
}

/** The targets of the links of a page that do not lead to another site. */
function relativeLinks(page: string): string[] {
  const text = proseOf(page);
  const inline = text.matchAll(/\]\(([^)\s]+)\)/g);
  const references = text.matchAll(/^\[[^\]]+\]: (\S+)$/gm);
  return [...inline, ...references].map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** The anchors that GitHub gives the headings of a page. */
function anchorsOf(page: string): string[] {
  return [...proseOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-")
  );
}

for (const page of pages) {
  test(`[${runtime}] ${page} links only to files and headings that exist`, () => {
    for (const link of relativeLinks(page)) {
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : posix.join(posix.dirname(page), path);
      assert(existsSync(root + target), `${link}: there is no ${target}`);
      if (anchor === undefined) continue;
      assert(anchorsOf(target).includes(anchor), `${link}: ${target} has no such heading`);
    }
  });

  test(`[${runtime}] ${page} names only files that exist`, () => {
    const named = textOf(page).matchAll(
      /(?<![\w./-])(?:bench|examples|src|tests)\/[\w./-]+\.ts\b/g,
    );
    for (const [file] of named) assert(existsSync(root + file), `there is no ${file}`);
  });
}

test(`[${runtime}] README.md has at most ${README_LINES} lines`, () => {
  const count = textOf("README.md").trimEnd().split("\n").length;
  assert(count <= README_LINES, `${count} lines`);
});

test(`[${runtime}] README.md has the commands that a fresh clone is tried with`, () => {
  const lines = textOf("README.md").split("\n");
  for (const command of ["npm ci && npm run demo", "npm ci && npm test"]) {
    assert(lines.includes(command), command);
  }
});

test(`[${runtime}] docs/README.md lists each page of docs/ on one line`, () => {
  const lines = textOf("docs/README.md").split("\n").filter((line) => line.startsWith("- "));
  const listed = lines.map((line) => /^- \[[^\]]+\]\(\.\/([^)]+)\): /.exec(line)?.[1]);
  const existing = pagesIn("docs").map((page) => posix.relative("docs", page));
  assertEquals(listed.toSorted(), existing.filter((page) => page !== "README.md"));
});

/** The test files in a folder of tests/ and below. Another test may remove its folder there meanwhile. */
function testFilesIn(folder: string): string[] {
  const path = root + posix.join("tests", folder);
  const entries = existsSync(path) ? readdirSync(path, { withFileTypes: true }) : [];
  return entries.flatMap((entry) => {
    const name = posix.join(folder, entry.name);
    if (entry.isDirectory()) return testFilesIn(name);
    return name.endsWith(".test.ts") ? [name] : [];
  });
}

test(`[${runtime}] tests/README.md names each test file, and each only once in a row`, () => {
  const rows = textOf("tests/README.md").split("\n").filter((line) => line.startsWith("| "));
  const filesOf = (row: string) =>
    [...row.matchAll(/\]\(\.\/([\w/]+\.test\.ts)\)/g)].map(([, file]) => file!);
  for (const row of rows) assertEquals(new Set(filesOf(row)).size, filesOf(row).length, row);
  assertEquals([...new Set(rows.flatMap(filesOf))].toSorted(), testFilesIn("").toSorted());
});
