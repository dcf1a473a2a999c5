/** A service manager that does not read its messages. */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { openLibC } from "../../src/runtime/linux/libc.ts";
import { Ending } from "../support/ending.ts";
import { runtime, temporaryFolder } from "../support/fixture.ts";
import { withReceiver } from "../support/notify_receiver.ts";

/** In ms: less than a message waits for room in the queue, which is 5 s. */
const AT_ONCE = 4_000;

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK = 0o4002;

const libc = openLibC();

if (libc !== undefined) {
  test(`[${runtime}] graceful() ends on time where READY=1 cannot be delivered`, async () => {
    const path = join(temporaryFolder(), "notify");
    await withReceiver(path, async () => {
      fill(path);
      const ending = await Ending.start({ servers: ["auto"], graceful: { timeout: 1_000 } }, {
        NOTIFY_SOCKET: path,
      });
      ending.program.signal("SIGTERM");
      assertEquals(await deadline(ending.program.exit, AT_ONCE), 0);
      assertEquals(/.*keeps the process alive.*/.exec(ending.program.output)?.[0], undefined);
    });
  });
}

/** Sends messages until the queue of the socket has no room. */
function fill(path: string): void {
  const fd = libc!.socket(AF_UNIX, SOCK_DGRAM_NONBLOCK, 0);
  const to = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(path)]);
  if (libc!.connect(fd, to, to.length) !== 0) throw new Error(`Cannot connect to ${path}`);
  while (libc!.send(fd, Buffer.from("x"), 1, 0) === 1);
  libc!.close(fd);
}
