/** The program `systemd-notify`: where the C library is out of reach, it sends the message. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

/**
 * Has it send the lines as one datagram to the socket of `NOTIFY_SOCKET`. It ends when the service
 * manager has read them: with the sender gone, the manager could not tell whose message it is.
 *
 * @throws {Error} If there is no such program, or it fails.
 */
export async function runSystemdNotify(lines: readonly string[]): Promise<void> {
  try {
    await promisify(execFile)("systemd-notify", lines);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    throw new Error(
      "Cannot notify as the program 'systemd-notify' must be in PATH where there is no FFI: " +
        "current value is absent",
      { cause: error },
    );
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
