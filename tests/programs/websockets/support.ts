/** What the programs of this folder have in common. */
import process from "node:process";
import type { GracefulOptions } from "@x/graceful";
import { timeout } from "../frameworks/support.ts";

export { announce, cleanup, timeout } from "../frameworks/support.ts";

/** In ms: for upgrades that come over an idle connection during the drain. */
export const idleGrace: number = timeout / 2;

/** The option of that name, for the programs that take it. */
export const hijacked: GracefulOptions["hijacked"] = JSON.parse(process.argv[3] ?? '"wait"');
