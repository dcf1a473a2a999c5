import { spawnSync } from "node:child_process";
import process from "node:process";

/** In ms. */
const SOON = 20_000;

const OWN = ["--pid", "--fork", "--kill-child", "--mount-proc"];

/** The arguments with which unshare(1) makes a PID namespace, and why that is impossible here, if it is. */
export const pidNamespace: { flags: readonly string[]; obstacle?: string } = probe();

function probe(): typeof pidNamespace {
  if (process.platform !== "linux") return { flags: OWN, obstacle: "not on Linux" };
  let obstacle = "";
  // The second list is for users other than root.
  for (const flags of [OWN, ["--user", "--map-root-user", ...OWN]]) {
    const { error, status, stderr } = spawnSync("unshare", [...flags, "true"], {
      encoding: "utf8",
      timeout: SOON,
    });
    if (status === 0) return { flags };
    obstacle = error?.message ?? stderr.trim();
  }
  return { flags: OWN, obstacle };
}
