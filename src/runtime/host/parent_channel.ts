import process from "node:process";
import { nodeCluster, workerThreads } from "../../core/builtins.ts";
import { nodeHttp, nodeHttps } from "./http_modules.ts";
import { hostInternals } from "./internals.ts";

/**
 * Makes the channel to the parent process no longer keep this process alive. A process that was started with
 * `fork` has such a channel, and so has a worker of `node:cluster`. Messages still go both ways.
 */
export function unrefParentChannel(): void {
  // In a worker thread the property may throw: on Deno always, and on Node where the process has a channel.
  if (workerThreads().isMainThread) process.channel?.unref();
}

/**
 * Tells the parent process that this process serves: pm2 waits for this message where `wait_ready` is set. Does nothing
 * in a worker thread, which has no parent process.
 */
export function tellParentReady(): void {
  if (!workerThreads().isMainThread) return;
  // Without a callback, a parent that closes the channel meanwhile would be an uncaught exception.
  if (process.connected) process.send?.("ready", undefined, undefined, () => {});
}

/**
 * Calls a function when a worker of `node:cluster` loses its primary: when the primary has ended, or has
 * called `cluster.disconnect()`. The runtime would end such a worker at once, with its requests in flight;
 * after this call the runtime does not. Does nothing in other processes. Returns a function that undoes the
 * call.
 */
export function onPrimaryGone(call: () => void): () => void {
  const { worker } = nodeCluster();
  if (worker === undefined) return () => {};
  const onDisconnect = () => {
    // The runtime's own listener of the event ends the process unless this property is true.
    worker.exitedAfterDisconnect = true;
    call();
  };
  // A worker that is told to disconnect closes its servers, and closes its channel when their last connection
  // has ended, which is too late to drain.
  let letClose = () => {};
  const leave = hostInternals.aroundDisconnect(
    () => letClose = keepIdleConnections(),
    () => {
      letClose();
      call();
    },
  );
  const onError = (error: unknown) => {
    // Without a listener of its own, the program would see any other error as an uncaught exception.
    const isHandled = isOfLostChannel(error) || worker.listenerCount("error") > 1;
    if (!isHandled) throw error;
  };
  worker.on("error", onError);
  process.prependListener("disconnect", onDisconnect);
  return () => {
    leave();
    worker.off("error", onError);
    process.off("disconnect", onDisconnect);
  };
}

/**
 * Keeps the `close` of servers of `node:http` from closing idle and new connections until the returned
 * function is called. A request may be on its way on such a connection, and the drain closes the connection
 * later. A runtime without the method that this replaces does not close such connections in `close`.
 */
function keepIdleConnections(): () => void {
  const prototypes = [nodeHttp().Server.prototype, nodeHttps().Server.prototype]
    .filter((prototype) => Object.hasOwn(prototype, "closeIdleConnections"));
  const originals = prototypes.map(({ closeIdleConnections }) => closeIdleConnections);
  for (const prototype of prototypes) prototype.closeIdleConnections = () => {};
  return () => {
    for (const [index, prototype] of prototypes.entries()) {
      prototype.closeIdleConnections = originals[index]!;
    }
  };
}

/**
 * Returns whether an error means that the primary is gone. The event "disconnect" follows a moment later. The
 * error occurs because a worker sends its primary a message when it closes a server.
 */
function isOfLostChannel(error: unknown): boolean {
  return error instanceof Error && "code" in error &&
    ["EPIPE", "ECONNRESET", "ERR_IPC_CHANNEL_CLOSED"].includes(String(error.code));
}
