/**
 * The listening sockets of this process, identified by their descriptors: one process hands them over to the
 * next. Each runtime has its own way to open a listening socket on which nothing accepts yet.
 */
import { ofProcess } from "../core/process_state.ts";
import process from "node:process";
import type { Sockets } from "../core/sockets.ts";
import { UpgradeError } from "../core/errors.ts";
import { FfiSockets } from "./linux/sockets.ts";
import { openKernelSockets } from "./linux/kernel_sockets.ts";
import { NodeSockets } from "./node/sockets.ts";

/**
 * Returns the {@linkcode Sockets} of the current runtime, created on first use.
 *
 * @throws {UpgradeError} If this process has no access to descriptors.
 */
export function sockets(): Sockets {
  return ofProcess(openSockets);
}

function openSockets(): Sockets {
  const { deno, bun } = process.versions;
  if (deno === undefined && bun === undefined) return new NodeSockets();
  const kernel = openKernelSockets();
  if (kernel !== undefined) return new FfiSockets(kernel);
  throw new UpgradeError(
    process.platform !== "linux"
      ? `Cannot hand over a listener: on this runtime that needs Linux, and the platform is "${process.platform}"`
      : "Cannot hand over a listener: that needs the permission 'ffi', so run Deno with --allow-ffi",
  );
}
