/**
 * The listening sockets of this process by their descriptors: what one process hands on to the
 * next. Each runtime has its own way to open one that nothing accepts on yet.
 */
import { ofProcess } from "../core/process_state.ts";
import process from "node:process";
import type { Sockets } from "../core/sockets.ts";
import { UpgradeError } from "../core/errors.ts";
import { FfiSockets } from "./linux/sockets.ts";
import { openKernelSockets } from "./linux/kernel_sockets.ts";
import { NodeSockets } from "./node/sockets.ts";

/**
 * Returns the sockets of the current runtime, opened at first use.
 *
 * @throws {UpgradeError} Where descriptors are out of reach.
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
      ? `Cannot hand on a listening socket as 'platform' must be linux on this runtime: current value is "${process.platform}"`
      : "Cannot hand on a listening socket as the permission 'ffi' must be granted (--allow-ffi): current value is \"denied\"",
  );
}
