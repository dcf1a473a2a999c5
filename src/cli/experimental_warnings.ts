import process from "node:process";

/**
 * Suppresses Node's warning that its FFI is experimental, because whoever runs the command cannot act on it. The
 * command uses the FFI where it exists, and works without it elsewhere.
 */
export function hideExperimentalWarnings(): void {
  const { emitWarning } = process;
  process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
    if (rest[0] === "ExperimentalWarning") return;
    // The cast: the arguments are passed on unchanged, whichever signature was called.
    (emitWarning as (...args: unknown[]) => void).call(process, warning, ...rest);
  };
}
