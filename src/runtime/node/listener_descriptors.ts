/**
 * The descriptors of listeners of Node's modules on Deno, which does not show them. A descriptor is found when the
 * listener opens, because later several listeners of the process may have the same address.
 */
import type net from "node:net";
import process from "node:process";
import { type ListeningSocket, openKernelSockets } from "../linux/kernel_sockets.ts";
import { localAddr } from "./listen.ts";

const found = new WeakMap<net.Server, ListeningSocket>();

/** Runs `open`, which resolves when the server listens, and remembers the descriptor of the listener. */
export async function rememberingDescriptor(
  server: net.Server,
  open: () => Promise<void>,
): Promise<void> {
  const kernel = "deno" in process.versions ? openKernelSockets() : undefined;
  if (kernel === undefined) return await open();
  const before = kernel.listenerCookies();
  await open();
  const addr = localAddr(server);
  const opened = [...kernel.listenersAt(addr)].filter(([cookie]) => !before.has(cookie));
  const [first] = opened;
  // Another listener may have opened at the same address meanwhile.
  if (first !== undefined && opened.length === 1) {
    found.set(server, { cookie: first[0], fd: first[1] });
  }
}

/** Returns the descriptor of a listener, or undefined if it is not known or has closed. */
export function descriptorOf(server: net.Server): number | undefined {
  const socket = found.get(server);
  if (socket === undefined) return undefined;
  return openKernelSockets()?.isOpen(socket) === true ? socket.fd : undefined;
}
