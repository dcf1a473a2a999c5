/**
 * `npm run scope -- @name`: puts the scope of whoever publishes this package in the place of the one that it has, in
 * every file of the repository. The registries of JSR and npm give each scope to one owner.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";

const REFUSED = 2;

const scope = process.argv[2] ?? "";
// The rule of JSR, which is the narrower one. A scope with dots is new there, and refused here.
if (!/^@(?=.{2,20}$)[a-z0-9]+(-[a-z0-9]+)*$/.test(scope)) {
  console.error(
    "Cannot set the scope as it must be an @ and 2 to 20 lowercase letters and digits, with single hyphens between " +
      `them: current value is "${scope}"`,
  );
  process.exit(REFUSED);
}
const { name } = JSON.parse(readFileSync("package.json", "utf8")) as { name: string };
const renamed = `${scope}/${name.split("/")[1]}`;
/** The name as it is, and as it is in a regular expression, with what takes its place. */
const replacements = [[name, renamed], [escaped(name), escaped(renamed)]] as const;
const patterns = replacements.flatMap(([spelling]) => ["-e", spelling]);
const files = execFileSync("git", ["grep", "-lIF", ...patterns], { encoding: "utf8" })
  .trim().split("\n");
for (const file of files) {
  let text = readFileSync(file, "utf8");
  for (const [spelling, replacement] of replacements) text = text.replaceAll(spelling, replacement);
  writeFileSync(file, text);
}
console.log(
  `${name} is ${renamed} now, in ${files.length} files: run npm install and deno fmt once`,
);

function escaped(text: string): string {
  return text.replace("/", "\\/");
}
