import { constants } from "node:os";
import process from "node:process";

/**
 * Has `onSend` called with the name of each signal that this process is about to send itself, until the
 * function that it returns is called. Libraries that stop a server at a signal raise the signal again when
 * they are done, so that it ends the process: nobody outside has sent that one.
 *
 * The kernel knows who has sent a signal, but no runtime tells. So `process.kill` is replaced for that
 * time. Code that has taken the function out of the module before, as `import { kill }` does, is not seen.
 */
export function watchOwnSignals(onSend: (name: string) => void): () => void {
  const { kill } = process;
  let isWatching = true;
  const watched: typeof kill = (pid, signal = "SIGTERM") => {
    // 0 is the group of this process.
    const isOwn = pid === process.pid || pid === 0;
    const name = typeof signal === "string" ? signal : nameOf(signal);
    if (isWatching && isOwn && name !== undefined) onSend(name);
    return kill.call(process, pid, signal);
  };
  process.kill = watched;
  return () => {
    isWatching = false;
    // Somebody else may have replaced it since.
    if (process.kill === watched) process.kill = kill;
  };
}

function nameOf(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}
