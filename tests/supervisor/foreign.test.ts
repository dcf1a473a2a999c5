/** Workers that know nothing of this package: what they are told, and how they become ready. */
import { test } from "node:test";
import { join } from "node:path";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { installed } from "../../support/installed.ts";
import { freePort, isFree } from "../../support/ports.ts";
import { commandOf } from "../../support/runtimes.ts";
import { until } from "../../support/until.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { testSideBySide } from "../support/side_by_side.ts";
import { SOON, SupervisedService } from "../support/supervised.ts";

/** The program runs on Node, whatever runs the supervisor. */
const program = commandOf("node", new URL("../programs/listen_fds.ts", import.meta.url));

/** A test that needs a program, which may not be installed. */
function testWith(program: string, what: string, run: () => Promise<void>): void {
  const name = `[${runtime}] ${what}`;
  if (installed(program) !== undefined) testSideBySide(name, run);
  else test(`${name} (skipped: ${program} is not installed)`, { skip: true });
}

testSideBySide(
  `[${runtime}] graceful run waits for READY=1 once a worker has said it`,
  async () => {
    const service = await SupervisedService.start({ command: [...program, "late"] });
    assertStringIncludes(service.output, "although it has not said so");
    // When 5 s of the next worker are over, this one has said that it is ready.
    service.program.signal("SIGHUP");
    const after = await service.says(/worker 2 \(process \d+\) is ready after ([\d.]+) s$/m);
    assert(Number(after) >= 7, after);
    assertEquals(await service.end(), 0, service.output);
  },
);

testSideBySide(
  `[${runtime}] graceful run takes a program that says nothing for ready after 5 s`,
  async () => {
    const service = await SupervisedService.launch({ command: [...program] });
    const after = await service.says(/is ready after ([\d.]+) s, although it has not said so/);
    assert(Number(after) >= 5, after);
    await service.says(/generation 1 serves/);
    assertEquals(await service.ask(), String(service.pids[0]));
    // The pause between the workers' being ready and the end of those before is over by then.
    await service.reload(2);
    await service.gone(service.pidsOf(1));
    assertEquals(await service.ask(), String(service.pidsOf(2)[0]));
    assertEquals(await service.end(), 0, service.output);
  },
);

testSideBySide(
  `[${runtime}] graceful run passes sockets on by LISTEN_FDS, and hears READY=1`,
  async () => {
    const service = await SupervisedService.start({
      args: ["--workers=2", "--min-uptime=0.1"],
      command: [...program, "notify"],
    });
    assert(!service.output.includes("although it has not said so"), service.output);
    await service.reload(2);
    await service.gone(service.pidsOf(1));
    assert(service.pidsOf(2).includes(Number(await service.ask())));
    const facts = [...service.output.matchAll(/^fds: (.*);$/gm)].map(([, fact]) => fact);
    assertEquals(facts, Array(4).fill("1 true undefined"));
    assertEquals(service.output.match(/^SIGTERM: /gm)?.length, 2, "each is told once");
    assertEquals(await service.end(), 0, service.output);
  },
);

testSideBySide(`[${runtime}] graceful run says which program it cannot find`, async () => {
  const service = await SupervisedService.launch({ command: ["no-such-program"] });
  assertEquals(await deadline(service.program.exit, SOON), 127, service.output);
  await service.says(/worker 1 \(process \d+\) has ended with code 127: is its program in PATH\?/);
  assert(await isFree(service.port));
});

testSideBySide(
  `[${runtime}] graceful run without --listen runs a program that opens a port, and says why a second one fails`,
  async () => {
    const service = await SupervisedService.start({ listens: false });
    const [pid] = service.pids;
    assertEquals(await service.ask(), String(pid));
    service.program.signal("SIGHUP");
    await service.says(
      /generation 2 has failed: worker 2 ended with code \d+ before it was ready; there is no listener to pass on \('listen'\), and a program that opens a port itself cannot run twice\. Generation 1 keeps serving$/m,
    );
    assertEquals(await service.ask(), String(pid));
    process.kill(pid!, "SIGKILL");
    await service.says(/worker 3 \(process \d+\) is ready/);
    assertEquals(await service.ask(), String(service.pids.at(-1)));
    assertEquals(await service.end(), 0, service.output);
  },
);

testSideBySide(
  `[${runtime}] graceful run passes arguments on as they are, to a program that listens on nothing`,
  async () => {
    const script = 'echo "here: $1"; exec sleep 60';
    const service = await SupervisedService.start({
      command: ["sh", "-c", script, "sh", "an argument with 'quotes' and $signs"],
    });
    await service.says(/^here: an argument with 'quotes' and \$signs$/m);
    // It has no handler for the signal.
    assertEquals(await service.end(), 128 + 15, service.output);
  },
);

testWith(
  "setpriv",
  "graceful run has a program of any kind get SIGTERM when the supervisor is killed",
  async () => {
    const service = await SupervisedService.start({ command: [...program, "notify"] });
    service.program.signal("SIGKILL");
    await service.gone(service.pids);
    // What the program has written may be read after its end.
    await service.says(new RegExp(`^SIGTERM: ${service.pids[0]};`, "m"));
    // Threads of a process that has been killed may hold its sockets for a moment longer.
    const { port } = service;
    await until(() => `port ${port} is in use`, async () => await isFree(port) || undefined);
  },
);

testWith(
  "haproxy",
  "graceful run serves with HAProxy",
  async () => {
    const file = join(temporaryFolder(), "haproxy.cfg");
    writeFileSync(
      file,
      `defaults
  mode http
  timeout client 5s
frontend web
  bind fd@3
  http-request return status 200 content-type text/plain string "hello"
`,
    );
    const service = await SupervisedService.start({
      command: [installed("haproxy")!, "-Ws", "-f", file],
    });
    assert(!service.output.includes("although it has not said so"), service.output);
    assertEquals(await service.ask(), "hello");
    await service.reload(2);
    await service.gone(service.pidsOf(1));
    assertEquals(await service.ask(), "hello");
    await service.end();
    assert(await isFree(service.port));
  },
);

testWith(
  "nginx",
  "graceful run serves with nginx",
  async () => {
    const folder = temporaryFolder();
    const port = await freePort();
    const file = join(folder, "nginx.conf");
    writeFileSync(
      file,
      `daemon off;
error_log stderr;
pid ${folder}/pid;
events {}
http {
  access_log off;
  server {
    listen 127.0.0.1:${port};
    location / { return 200 "hello"; }
  }
}
`,
    );
    const service = await SupervisedService.start({
      port,
      env: { NGINX: "3;" },
      command: [installed("nginx")!, "-e", "stderr", "-p", folder, "-c", file],
    });
    assertEquals(await service.ask(), "hello");
    assertEquals(await service.end(), 0, service.output);
    await until(() => `port ${port} is in use`, async () => await isFree(port) || undefined);
  },
);
