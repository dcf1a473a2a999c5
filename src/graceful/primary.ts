import { onPrimaryGone } from "../runtime/host/parent_channel.ts";

/** Waits for the end of the primary process, if this process is a worker of `node:cluster`. */
export class Primary {
  /** Resolves with the cause of the end. */
  readonly first: Promise<string>;
  /** Stops waiting, so that the runtime again ends a worker whose primary is gone. */
  readonly release: () => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.first = promise;
    this.release = onPrimaryGone(() => resolve("disconnected"));
  }
}
