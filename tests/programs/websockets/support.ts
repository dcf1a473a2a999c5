/** What the programs of this folder have in common. */
import { timeout } from "../frameworks/support.ts";

export { announce, cleanup, timeout } from "../frameworks/support.ts";

/** In ms: for upgrades that come over an idle connection during the drain. */
export const idleGrace: number = timeout / 2;
