/**
 * Everything that this package uses of a process beyond the public API of Node, on Node and in the `node:` modules of
 * Deno and Bun. What it uses of servers is in `runtime/node/internals.ts`. If a runtime lacks a member's internal, the
 * member does not throw but has the effect that its comment names under "Without it".
 */
import process from "node:process";

/** The members that `tests/runtimes/internals.test.ts` removes one by one. */
export interface HostInternals {
  /**
   * Returns the name of the resource behind a stream in the list of `process.getActiveResourcesInfo()`. Without it:
   * undefined, and standard output and error stay in the list of what keeps the process alive.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/net.js (`_handle`)
   */
  resourceBehind(stream: object): string | undefined;
  /**
   * Calls `before` and `after` around the runtime's own handling of the message with which the primary of `node:cluster`
   * tells this worker to disconnect. Returns a function that undoes the call. Without it: neither is called, and the
   * worker learns of the disconnect when its channel closes, after its last connection.
   *
   * @see https://github.com/nodejs/node/blob/v26.x/lib/internal/cluster/child.js (`onmessage`)
   */
  aroundDisconnect(before: () => void, after: () => void): () => void;
}

export const hostInternals: HostInternals = {
  resourceBehind(stream) {
    // The cast: `_handle` is not in the types, and absent if the stream writes to a file.
    const { _handle: handle } = stream as { _handle?: object };
    return handle && `${handle.constructor.name}Wrap`;
  },

  aroundDisconnect(before, after) {
    const onFirst = (message: unknown) => void (isDisconnect(message) && before());
    const onLast = (message: unknown) => void (isDisconnect(message) && after());
    process.prependListener("internalMessage", onFirst);
    process.on("internalMessage", onLast);
    return () => {
      process.off("internalMessage", onFirst);
      process.off("internalMessage", onLast);
    };
  },
};

function isDisconnect(message: unknown): boolean {
  return typeof message === "object" && message !== null && "cmd" in message &&
    message.cmd === "NODE_CLUSTER" && "act" in message && message.act === "disconnect";
}
