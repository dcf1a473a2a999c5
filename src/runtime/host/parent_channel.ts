import cluster from "node:cluster";
import process from "node:process";

/**
 * Has the channel to the parent keep this process alive no longer: that of `fork`, and so of a worker of
 * `node:cluster`. Messages still go both ways.
 */
export function unrefParentChannel(): void {
  process.channel?.unref();
}

/**
 * Calls a function when a worker of `node:cluster` loses its primary: when that has ended, or has called
 * `cluster.disconnect()`. The runtime would end such a worker at once, with its requests in flight; from
 * here on it does not. Does nothing in other processes. Returns what undoes it.
 */
export function onPrimaryGone(call: () => void): () => void {
  const { worker } = cluster;
  if (worker === undefined) return () => {};
  const onDisconnect = () => {
    // The runtime asks for this in its own listener of the event.
    worker.exitedAfterDisconnect = true;
    call();
  };
  // Told to disconnect, a worker closes its servers, and its channel when their last connection has ended.
  // Where the runtime does not show the message, the end begins only then.
  // https://github.com/nodejs/node/blob/v26.x/lib/internal/cluster/child.js (`onmessage`)
  const onInternalMessage = (message: unknown) => {
    if (isDisconnect(message)) call();
  };
  process.prependListener("disconnect", onDisconnect);
  process.on("internalMessage", onInternalMessage);
  return () => {
    process.off("disconnect", onDisconnect);
    process.off("internalMessage", onInternalMessage);
  };
}

function isDisconnect(message: unknown): boolean {
  return typeof message === "object" && message !== null && "cmd" in message &&
    message.cmd === "NODE_CLUSTER" && "act" in message && message.act === "disconnect";
}
