import process from "node:process";
import { deno } from "../api/deno.ts";

/** An environment variable, which on Deno a process without the permission for it does not have. */
export function readVariable(name: string): string | undefined {
  const isHidden = "deno" in process.versions &&
    deno().permissions.querySync({ name: "env", variable: name }).state !== "granted";
  return isHidden ? undefined : process.env[name];
}
