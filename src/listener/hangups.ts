import { ofProcess } from "../core/process_state.ts";
import process from "node:process";

const state = () => ofProcess(newState);
const newState = () => ({ isHeld: false });

function ignore(): void {}

/**
 * Keeps a SIGHUP from ending this process until it is ready: a successor has the signal's default action until then,
 * and may be signaled together with its predecessor, or in its place.
 */
export function holdHangups(): void {
  if (state().isHeld || process.platform === "win32") return;
  state().isHeld = true;
  process.on("SIGHUP", ignore);
}

/** Gives the signal back to the program, which has its own listener by now if it wants one. */
export function releaseHangups(): void {
  if (!state().isHeld) return;
  state().isHeld = false;
  process.off("SIGHUP", ignore);
}
