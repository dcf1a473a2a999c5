import cluster from "node:cluster";
import process from "node:process";

/**
 * Makes the channel to the parent process no longer keep this process alive. A process that was started with
 * `fork` has such a channel, and so has a worker of `node:cluster`. Messages still go both ways.
 */
export function unrefParentChannel(): void {
  process.channel?.unref();
}

/**
 * Calls a function when a worker of `node:cluster` loses its primary: when the primary has ended, or has
 * called `cluster.disconnect()`. The runtime would end such a worker at once, with its requests in flight;
 * after this call the runtime does not. Does nothing in other processes. Returns a function that undoes the
 * call.
 */
export function onPrimaryGone(call: () => void): () => void {
  const { worker } = cluster;
  if (worker === undefined) return () => {};
  const onDisconnect = () => {
    // The runtime's own listener of the event ends the process unless this property is true.
    worker.exitedAfterDisconnect = true;
    call();
  };
  // A worker that is told to disconnect closes its servers, and closes its channel when their last connection
  // has ended. If the runtime does not emit this message, the function is called only then.
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
