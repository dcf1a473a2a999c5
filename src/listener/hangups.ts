import { ofProcess } from "../core/process_state.ts";
import process from "node:process";

const state = () => ofProcess(newState);
const newState = () => ({ isHeld: false });

function ignore(): void {}

/**
 * Keeps SIGHUP from ending this process until this process is ready. Until the program listens to the signal, the
 * default action of SIGHUP would end a successor, which may get the signal together with its predecessor or instead
 * of it.
 */
export function holdHangups(): void {
  if (state().isHeld || process.platform === "win32") return;
  state().isHeld = true;
  process.on("SIGHUP", ignore);
}

/** Stops ignoring SIGHUP. The program has its own listener by now if it needs one. */
export function releaseHangups(): void {
  if (!state().isHeld) return;
  state().isHeld = false;
  process.off("SIGHUP", ignore);
}
