import process from "node:process";
import { printableJson } from "../../core/printable.ts";
import { reportError } from "../../core/report_error.ts";
import { deno } from "../api/deno.ts";

/** Returns an environment variable; undefined if it is not set, or if Deno may not read it. */
export function readVariable(name: string): string | undefined {
  const isHidden = "deno" in process.versions &&
    deno().permissions.querySync({ name: "env", variable: name }).state !== "granted";
  return isHidden ? undefined : process.env[name];
}

/** Reports on one line that the value of an environment variable is ignored, and why. */
export function ignoreVariable(name: string, why: string, value: string): void {
  const shown = printableJson(value.length > 100 ? `${value.slice(0, 100)}…` : value);
  reportError(`Ignored ${name}, which ${why}: current value is ${shown}`);
}
