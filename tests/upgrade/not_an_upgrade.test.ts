/**
 * A signal to upgrade on that is none: the terminal has gone, or the end of this process would be taken for that of
 * the service.
 */
import { test } from "node:test";
import { chmodSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { runtime } from "../support/fixture.ts";
import { RecordedService } from "../support/recorded_service.ts";

/** In ms. */
const SOON = 15_000;

const isLinux = process.platform === "linux";

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}

const hasScript = isLinux && spawnSync("script", ["--version"]).status === 0;

if (hasScript) {
  test(`[${runtime}] graceful() ends at the SIGHUP of a terminal that goes away`, async () => {
    const record = new RecordedService();
    const terminal = record.start("script", "-qec", quoted(record.command), "/dev/null");
    const pid = await record.says(/^\d+ serves$/m);
    terminal.kill("SIGKILL");
    await record.says(new RegExp(`^${pid} draining SIGHUP$`, "m"));
    await record.says(new RegExp(`^${pid} ended$`, "m"));
    assertEquals(record.text.match(/serves/g)!.length, 1);
  });

  // A shell that does not tell its commands how they were started, and one that does.
  for (const shell of ["/bin/sh", "bash"]) {
    test(`[${runtime}] graceful() under nohup of ${shell} outlives its terminal, and upgrades at a later SIGHUP`, async () => {
      const record = new RecordedService();
      const start = `nohup ${quoted(record.command)}`;
      const terminal = record.start("script", "-qec", quoted([shell, "-c", start]), "/dev/null");
      const pid = await record.says(/^\d+ serves$/m);
      terminal.kill("SIGKILL");
      // The hang-up is delivered to the leader of the session and to its group, of which the service is one.
      await record.says(
        /^\d+ ignored .*the terminal was closed, and nohup keeps this process alive$/m,
      );
      process.kill(pid, "SIGHUP");
      await record.says(new RegExp(`^${pid} ended$`, "m"));
      const next = await record.says(new RegExp(`^(?!${pid} )\\d+ serves$`, "m"));
      process.kill(next, "SIGTERM");
      await record.says(new RegExp(`^${next} ended$`, "m"));
    });
  }
} else {
  test(`[${runtime}] graceful() tells a hangup from an upgrade (skipped: no script(1))`, {
    skip: true,
  });
}

if (isLinux) {
  test(`[${runtime}] graceful() does not upgrade under a supervisor that would start the service again`, async () => {
    const record = new RecordedService();
    const supervisor = join(record.folder, "runsv");
    writeFileSync(supervisor, '#!/bin/sh\n"$@"\nexit $?\n');
    chmodSync(supervisor, 0o755);
    record.start(supervisor, ...record.command);
    const pid = await record.says(/^\d+ serves$/m);
    process.kill(pid, "SIGHUP");
    await record.says(new RegExp(`^${pid} ignored`, "m"));
    assertStringIncludes(
      record.text,
      "(runsv) has started this process and takes its end for the end of the service",
    );
    process.kill(pid, "SIGTERM");
    await record.says(new RegExp(`^${pid} ended$`, "m"));
  });

  const namespace = ["--pid", "--fork", "--kill-child", "--mount-proc"];
  const isFirst = spawnSync("unshare", [...namespace, "true"]).status === 0;
  test(
    `[${runtime}, process 1] graceful() does not upgrade${
      isFirst ? "" : " (skipped: no namespaces)"
    }`,
    { skip: !isFirst },
    async () => {
      const record = new RecordedService();
      const child = record.start("unshare", ...namespace, ...record.command, "itself");
      const end = performance.now() + SOON;
      while (!/^1 ignored/m.test(record.text) && performance.now() < end) await sleep(10);
      child.kill("SIGKILL");
      assertStringIncludes(
        record.text,
        "this process is process 1 of its container, and the container ends with it",
      );
    },
  );

  test(
    `[${runtime}] graceful() does not upgrade under a shell that is process 1 and ends with it${
      isFirst ? "" : " (skipped: no namespaces)"
    }`,
    { skip: !isFirst },
    async () => {
      const record = new RecordedService();
      const script = '"$@"; exit $?';
      const command = ["sh", "-c", script, "sh", ...record.command, "itself"];
      const child = record.start("unshare", ...namespace, ...command);
      const end = performance.now() + SOON;
      while (!/^\d+ (ignored|upgrade-started)/m.test(record.text) && performance.now() < end) {
        await sleep(10);
      }
      child.kill("SIGKILL");
      assertStringIncludes(
        record.text,
        "process 1 (sh) is the parent of this process, and the container may end with it",
      );
    },
  );
}
