import process from "node:process";

/** The first version of Node on which this package runs: that of `engines` in package.json. */
const MINIMUM = "22.18";

/**
 * Throws on a Node that is too old for this package, whose functions would fail later and less clearly. Every
 * function with which a program begins to use this package calls it first.
 */
export function checkNodeVersion(version: string = process.versions.node): void {
  if ("deno" in process.versions || "bun" in process.versions) return;
  if (isAtLeast(version, MINIMUM)) return;
  throw new Error(
    `Cannot run on Node ${version}: @x/graceful needs Node ${MINIMUM} or later, or Deno, or Bun`,
  );
}

function isAtLeast(version: string, minimum: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [minimumMajor = 0, minimumMinor = 0] = minimum.split(".").map(Number);
  return major > minimumMajor || (major === minimumMajor && minor >= minimumMinor);
}
