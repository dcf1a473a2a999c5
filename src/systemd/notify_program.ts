/** The program `systemd-notify`: where the C library is out of reach, it sends the message. */
import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";

/** The number of ms that the service manager may leave its queue full. */
const PATIENCE = 5_000;

/**
 * Has it send the lines as one datagram to the socket of `NOTIFY_SOCKET`. It ends when the service
 * manager has read them: with the sender gone, the manager could not tell whose message it is.
 *
 * @throws {Error} If there is no such program, or it fails.
 */
export async function runSystemdNotify(lines: readonly string[]): Promise<void> {
  try {
    await run(lines);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    throw new Error(
      "Cannot notify as the program 'systemd-notify' must be in PATH where there is no FFI: " +
        "current value is absent",
      { cause: error },
    );
  }
}

/** Does not leave the program behind: one whose service manager reads nothing would wait for ever. */
async function run(lines: readonly string[]): Promise<void> {
  const running = promisify(execFile)("systemd-notify", lines, { timeout: PATIENCE });
  const kill = () => void running.child.kill();
  process.once("exit", kill);
  try {
    await running;
  } finally {
    process.off("exit", kill);
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
