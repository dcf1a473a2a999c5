import { constants } from "node:os";
import process from "node:process";

/**
 * Calls `onSend` with the name of each signal that this process is about to send to itself, until the returned
 * function is called. Libraries that stop a server at a signal raise the signal again when they are done, so that
 * it ends the process. Such a signal must not count as a second signal from a person or a supervisor.
 *
 * The kernel knows the sender of a signal, but no runtime reports the sender, so `process.kill` is replaced until
 * then. Calls of a `kill` that was imported by name (`import { kill }`) are not seen.
 */
export function watchOwnSignals(onSend: (name: string) => void): () => void {
  const { kill } = process;
  let isWatching = true;
  const watched: typeof kill = (pid, signal = "SIGTERM") => {
    // The pid 0 means the process group of this process.
    const isOwn = pid === process.pid || pid === 0;
    const name = typeof signal === "string" ? signal : nameOf(signal);
    if (isWatching && isOwn && name !== undefined) onSend(name);
    return kill.call(process, pid, signal);
  };
  process.kill = watched;
  return () => {
    isWatching = false;
    // Other code may have replaced `process.kill` in the meantime.
    if (process.kill === watched) process.kill = kill;
  };
}

function nameOf(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}
