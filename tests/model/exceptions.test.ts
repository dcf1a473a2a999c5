/** The exceptions of the model are what the page on engines says. */
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { assertEquals } from "@std/assert";
import { listOfExceptions } from "./exceptions.ts";

test("docs/engines.md lists the exceptions of the model", () => {
  const page = readFileSync(new URL("../../docs/engines.md", import.meta.url), "utf8");
  const [, section = ""] = page.split(/^## Small differences$/m);
  const [text = ""] = section.split(/^## /m);
  const [, ...items] = text.split(/^- /m);
  assertEquals(items.map((item) => item.trim().replace(/\s+/g, " ")).sort(), listOfExceptions());
});
