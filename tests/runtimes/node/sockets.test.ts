/** What Node's sockets read of the kernel's tables in `/proc`, with real sockets. */
import { test } from "node:test";
import { closeSync, openSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { once } from "node:events";
import process from "node:process";
import { assertEquals } from "@std/assert";
import { NodeSockets } from "../../../src/runtime/node/sockets.ts";
import { runtime, temporaryFolder } from "../../support/fixture.ts";

const skip = runtime !== "node" || process.platform !== "linux";

/** The descriptor of a server or a socket, which Node does not show. */
function fdOf(owner: net.Server | net.Socket): number {
  // The cast: not in the types.
  return (owner as unknown as { _handle: { fd: number } })._handle.fd;
}

async function withListener(
  where: net.ListenOptions,
  use: (server: net.Server, fd: number) => void | Promise<void>,
): Promise<void> {
  const server = net.createServer((socket) => socket.on("error", () => {})).listen(where);
  await once(server, "listening");
  try {
    await use(server, fdOf(server));
  } finally {
    server.close();
  }
}

for (
  const [bound, hostname] of [
    ["127.0.0.1", "127.0.0.1"],
    ["0.0.0.0", "0.0.0.0"],
    ["127.1.2.3", "127.1.2.3"],
    ["::1", "::1"],
    ["::", "::"],
  ] as const
) {
  test(
    `[${runtime}] NodeSockets addressOf() reads ${bound} of the kernel's table`,
    { skip },
    async () => {
      const sockets = new NodeSockets();
      await withListener({ port: 0, host: bound }, (server, fd) => {
        const { port } = server.address() as net.AddressInfo;
        assertEquals(sockets.addressOf(fd), { transport: "tcp", hostname, port });
        const plain = hostname.replace("::ffff:", "");
        assertEquals(sockets.listensAt(fd, { transport: "tcp", hostname: plain, port }), true);
        assertEquals(
          sockets.listensAt(fd, { transport: "tcp", hostname: plain, port: port - 1 }),
          false,
        );
      });
    },
  );
}

test(`[${runtime}] NodeSockets addressOf() writes an address of IPv4 in one of IPv6 as Node does`, {
  skip,
}, async () => {
  await withListener({ port: 0, host: "::ffff:127.0.0.1" }, (server, fd) => {
    const { address, port } = server.address() as net.AddressInfo;
    assertEquals(new NodeSockets().addressOf(fd), { transport: "tcp", hostname: address, port });
  });
});

for (const name of ["plain", "with space", "new\nline", "0a: pretends 0001 01 7 x", "ä 漢"]) {
  test(
    `[${runtime}] NodeSockets addressOf() reads the path ${JSON.stringify(name)}`,
    { skip },
    async () => {
      const path = join(temporaryFolder(), name);
      await withListener({ path }, (_, fd) => {
        assertEquals(new NodeSockets().addressOf(fd), { transport: "unix", path });
      });
    },
  );
}

test(
  `[${runtime}] NodeSockets addressOf() knows no address of what does not listen`,
  { skip },
  async () => {
    const sockets = new NodeSockets();
    const file = openSync("/dev/null", "r");
    assertEquals(sockets.addressOf(file), undefined);
    closeSync(file);
    assertEquals(sockets.addressOf(1_000_000), undefined);
    for (const where of [{ port: 0, host: "127.0.0.1" }, { path: join(temporaryFolder(), "x") }]) {
      await withListener(where, async (server) => {
        const address = server.address() as net.AddressInfo | string;
        const client = typeof address === "string"
          ? net.connect(address)
          : net.connect(address.port, "127.0.0.1");
        await once(client, "connect");
        assertEquals(sockets.addressOf(fdOf(client)), undefined);
        client.destroy();
      });
    }
  },
);

test(
  `[${runtime}] NodeSockets isPipe() takes a connected unix socket, and neither a listener nor a file`,
  { skip },
  async () => {
    const sockets = new NodeSockets();
    const file = openSync("/dev/null", "w");
    assertEquals(sockets.isPipe(file), false);
    closeSync(file);
    assertEquals(sockets.isPipe(1_000_000), false);
    await withListener({ path: join(temporaryFolder(), "socket") }, async (server, fd) => {
      assertEquals(sockets.isPipe(fd), false);
      const client = net.connect(server.address() as string);
      await once(client, "connect");
      assertEquals(sockets.isPipe(fdOf(client)), true);
      client.destroy();
    });
    await withListener({ port: 0, host: "127.0.0.1" }, (_, fd) => {
      assertEquals(sockets.isPipe(fd), false);
    });
  },
);
