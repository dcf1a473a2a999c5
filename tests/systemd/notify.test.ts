/**
 * Messages to a service manager, as one gets them: a receiver of datagrams stands in for systemd.
 * Each is sent in both ways, where the runtime has them: by the C library, and by the program
 * `systemd-notify`.
 */
import { test } from "node:test";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async";
import { notify } from "../../src/systemd/mod.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { installed } from "../../support/installed.ts";
import { withReceiver } from "../support/notify_receiver.ts";
import { Program } from "../support/process.ts";

/** In ms: far above what anything here takes, far below the limits of the runners. */
const SOON = 20_000;

/** A way to send, and what a process needs to go it and no other. */
interface Way {
  readonly name: string;
  readonly flags: readonly string[];
  /** What PATH is. */
  readonly path: string;
  /** Why it cannot be gone here. */
  readonly obstacle?: string | undefined;
}

const PROGRAM = "systemd-notify";
const nodeHasFFI = builtinModules.includes("node:ffi");
const isLinux = process.platform === "linux";

const byLibC: Way = {
  name: "by the C library",
  flags: runtime === "deno" ? ["--allow-env=NOTIFY_SOCKET", "--allow-ffi"] : [],
  path: "",
  obstacle: !isLinux
    ? "not on Linux"
    : runtime === "node" && !nodeHasFFI
    ? "no FFI before Node 26"
    : undefined,
};

const byProgram: Way = {
  name: `by ${PROGRAM}`,
  flags: {
    node: nodeHasFFI ? ["--no-experimental-ffi"] : [],
    deno: ["--allow-env", `--allow-run=${PROGRAM}`, "--allow-sys=osUptime"],
    bun: [],
  }[runtime],
  path: process.env["PATH"] ?? "",
  obstacle: runtime === "bun"
    ? "Bun has FFI always"
    : installed(PROGRAM) !== undefined
    ? undefined
    : `${PROGRAM} is not installed`,
};

/** Under a name that says why, a test that cannot run here is skipped. */
function testOf(way: Way, what: string, run: () => Promise<void>): void {
  const name = `[${runtime}, ${way.name}] ${what}`;
  if (way.obstacle === undefined) test(name, run);
  else test(`${name} (skipped: ${way.obstacle})`, { skip: true });
}

/** Starts tests/programs/notify.ts. */
function notifying(
  way: Pick<Way, "flags" | "path">,
  address: string | undefined,
  args: readonly string[],
): Program {
  const file = fileURLToPath(new URL("../programs/notify.ts", import.meta.url));
  const run = runtime === "deno" ? ["run", "--no-check", "--no-prompt"] : [];
  const env: NodeJS.ProcessEnv = { ...process.env, PATH: way.path, NOTIFY_SOCKET: address };
  if (address === undefined) delete env["NOTIFY_SOCKET"];
  return new Program(
    spawn(process.execPath, [...run, ...way.flags, file, ...args], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
}

/** What it says about its one message. */
async function outcome(
  way: Pick<Way, "flags" | "path">,
  address: string | undefined,
  arg: string,
): Promise<string> {
  const program = notifying(way, address, [arg]);
  assertEquals(await deadline(program.exit, SOON), 0, program.output);
  return program.says(/called\n(.*)\n/);
}

function newPath(): string {
  return join(temporaryFolder(), "notify");
}

function uptimeInMicroseconds(): number {
  return Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1_000_000;
}

/** The whole of it, byte for byte. */
const STATE = { READY: 1, STATUS: "Bereit für 100 % = alles, -f \\ '\"", X_2: "" };
const MESSAGE = "READY=1\nSTATUS=Bereit für 100 % = alles, -f \\ '\"\nX_2=";

for (const way of [byLibC, byProgram]) {
  for (const kind of ["path", "abstract name"]) {
    testOf(
      way,
      `notify() sends a message as one datagram to the ${kind}, and the address stays`,
      async () => {
        const path = newPath();
        const address = kind === "path" ? path : path.replace("/", "@");
        await withReceiver(address, async (receiver) => {
          receiver.read();
          const program = notifying(way, address, [JSON.stringify(STATE), '{"X_END":2}']);
          assertEquals(await deadline(program.exit, SOON), 0, program.output);
          assertStringIncludes(program.output, "called\nsent: true\ncalled\nsent: true\n");
          // The program asks to be told when its message has been read.
          const barrier = way === byProgram ? ["BARRIER=1"] : [];
          for (const [index, text] of [MESSAGE, ...barrier, "X_END=2", ...barrier].entries()) {
            assertEquals((await receiver.datagram(index + 1)).text, text);
          }
        });
      },
    );
  }

  testOf(way, "notify() sends a reload with the time of CLOCK_MONOTONIC", async () => {
    const address = newPath();
    await withReceiver(address, async (receiver) => {
      receiver.read();
      assertEquals(await outcome(way, address, "reloading"), "sent: true");
      const { text, at } = await receiver.datagram(1);
      const time = Number(/^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(text)?.[1]);
      // Deno without FFI has the uptime: rounded up, and with what the machine has slept.
      const isUptime = runtime === "deno" && way === byProgram;
      const clock = isUptime ? uptimeInMicroseconds() : at;
      assert(Math.abs(time - clock) <= 1_000_000, `${text}, the clock says ${clock}`);
    });
  });

  testOf(way, "notify() sends nothing without a service manager", async () => {
    for (const address of [undefined, ""]) {
      assertEquals(await outcome(way, address, '{"READY":1}'), "sent: false");
      assertEquals(await outcome(way, address, "reloading"), "sent: false");
    }
  });

  testOf(way, "notify() fails at an address that nobody receives at", async () => {
    const address = newPath();
    const said = await outcome(way, address, '{"READY":1}');
    assertStringIncludes(
      said,
      way === byLibC
        ? "Error: Cannot notify as 'NOTIFY_SOCKET' must be the address of a unix datagram socket " +
          `that this process can send to: current value is "${address}"`
        : `Error: Command failed: ${PROGRAM} READY=1`,
    );
  });
}

testOf(byLibC, "notify() fails at what is no address", async () => {
  for (const address of ["run/notify", `/${"x".repeat(108)}`]) {
    assertEquals(
      await outcome(byLibC, address, '{"READY":1}'),
      "Error: Cannot notify as 'NOTIFY_SOCKET' must be an absolute path or @name of at most " +
        `108 bytes: current value is "${address}"`,
    );
  }
});

testOf(byLibC, "notify() waits for a full queue, and nothing stops meanwhile", async () => {
  const address = newPath();
  const room = 1 + Number(readFileSync("/proc/sys/net/unix/max_dgram_qlen", "utf8"));
  const states = Array.from({ length: room + 1 }, (_, index) => `{"X":${index}}`);
  await withReceiver(address, async (receiver) => {
    const program = notifying(byLibC, address, states);
    const full = new RegExp(`(?:called\nsent: true\n){${room}}called\n`);
    await deadline(program.says(full), SOON);
    receiver.read();
    assertEquals(await deadline(program.exit, SOON), 0, program.output);
    assertEquals(program.output.match(/sent: true/g)?.length, room + 1, program.output);
    assertEquals((await receiver.datagram(room + 1)).text, `X=${room}`);
  });
});

if (runtime !== "bun") {
  test(`[${runtime}] notify() says so without FFI and without ${PROGRAM}`, async () => {
    const flags = runtime === "deno" ? ["--allow-env", "--allow-run"] : byProgram.flags;
    assertEquals(
      await outcome({ flags, path: "" }, newPath(), '{"READY":1}'),
      `Error: Cannot notify: the program '${PROGRAM}' is not in PATH, and this runtime cannot call the ` +
        "C library instead",
    );
  });
}

if (runtime === "deno") {
  test("[deno] notify() takes what it is not permitted to read for not set", async () => {
    const way = { flags: ["--allow-ffi"], path: "" };
    assertEquals(await outcome(way, newPath(), '{"READY":1}'), "sent: false");
  });
}

test(`[${runtime}] notify() refuses bad states at the call`, async () => {
  const refused: [Record<string, unknown>, string][] = [
    [{}, "'state' must be an object with an entry: current value is {}"],
    [{ ready: 1 }, `'key' must be of capitals, digits and underscores`],
    [{ "1ST": 1 }, `current value is "1ST"`],
    [{ "READY=1\nX": 1 }, `current value is "READY=1\\nX"`],
    [{ STATUS: "a\nREADY=1" }, "'STATUS' must be a finite number or a string without a newline"],
    [{ STATUS: "a\0" }, `current value is "a\\u0000"`],
    [{ MAINPID: NaN }, "'MAINPID' must be a finite number"],
    [{ MAINPID: undefined }, "current value is undefined"],
  ];
  for (const [state, message] of refused) {
    // The cast: what a caller without a type checker may get wrong.
    await assertRejects(() => notify(state as Record<string, string>), TypeError, message);
  }
});
