/** The PID file: made anew, in one step, whatever somebody else has put where it goes. */
import { test } from "node:test";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { draftPidFile, removePidFile } from "../../src/upgrade/pid_file.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";

test(`[${runtime}] PidFile writes a draft that cannot be guessed, and follows no link`, () => {
  const folder = temporaryFolder();
  const path = join(folder, "pid");
  const victim = join(folder, "victim");
  writeFileSync(victim, "precious");
  // What the draft was called before.
  symlinkSync(victim, `${path}.${process.pid}`);
  symlinkSync(victim, path);
  const draft = draftPidFile(path);
  const names = readdirSync(folder).filter((name) => lstatSync(join(folder, name)).isFile());
  const [name] = names.filter((name) => name !== "victim");
  assert(!name!.includes(String(process.pid)), name);
  assertEquals(statSync(join(folder, name!)).mode & 0o022, 0, "nobody else writes to it");
  draft.publish();
  draft.discard();
  assertEquals(readFileSync(victim, "utf8"), "precious");
  assert(lstatSync(path).isFile(), "in the place of the link");
  assertEquals(readFileSync(path, "utf8"), `${process.pid}\n`);
  removePidFile(path);
  assert(!existsSync(path));
});

test(`[${runtime}] PidFile writes two drafts of one process as two files, and a discarded one is gone`, () => {
  const folder = temporaryFolder();
  const path = join(folder, "pid");
  const drafts = [draftPidFile(path), draftPidFile(path)];
  assertEquals(readdirSync(folder).length, 2);
  for (const draft of drafts) draft.discard();
  assertEquals(readdirSync(folder), []);
});

test(`[${runtime}] PidFile removes only a file with the number of this process`, () => {
  const folder = temporaryFolder();
  const path = join(folder, "pid");
  const own = `${process.pid}\n`;
  for (const text of ["", "1\n", `${process.pid}`, `${own}${own}`, `0${own}`, ` ${own}`]) {
    writeFileSync(path, text);
    removePidFile(path);
    assertEquals(readFileSync(path, "utf8"), text);
  }
  const link = join(folder, "link");
  writeFileSync(path, own);
  symlinkSync(path, link);
  removePidFile(link);
  assert(lstatSync(link).isSymbolicLink(), "a link is not followed");
  removePidFile(join(folder, "absent"));
  removePidFile(folder);
});

if (process.platform !== "win32") {
  // Without a writer, opening it would wait for one.
  test(`[${runtime}] PidFile is not held up by a named pipe in its place`, () => {
    const path = join(temporaryFolder(), "pid");
    execFileSync("mkfifo", [path]);
    removePidFile(path);
    assert(lstatSync(path).isFIFO());
  });
}
