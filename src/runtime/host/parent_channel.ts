import process from "node:process";

/**
 * Has the channel to the parent keep this process alive no longer: that of `fork`, and so of a worker of
 * `node:cluster`. Messages still go both ways.
 */
export function unrefParentChannel(): void {
  process.channel?.unref();
}
