import process from "node:process";

/**
 * Keeps Node from writing that its FFI is experimental, which nobody who runs the command can change. The FFI is used
 * where it is there, and done without elsewhere.
 */
export function hideExperimentalWarnings(): void {
  const { emitWarning } = process;
  process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
    if (rest[0] === "ExperimentalWarning") return;
    // The cast: the arguments are passed on as they are, whichever of its signatures was called.
    (emitWarning as (...args: unknown[]) => void).call(process, warning, ...rest);
  };
}
