import type { DrainNotice } from "./drain_notice.ts";
import type { PendingWork } from "./pending_work.ts";

/** The objects that the requests of one server share. */
export interface RequestScope {
  readonly drainNotice: DrainNotice;
  readonly pendingWork: PendingWork;
}
