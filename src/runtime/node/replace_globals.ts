/** The option `replaceGlobals`: lighter classes in the place of Node's own `Request` and `Response`. */
import process from "node:process";
import { DeferredResponse } from "./deferred_response.ts";

let isReplaced = false;

/**
 * Replaces the global `Response`, `Request` and `fetch` of Node, for the rest of the process. On Deno and
 * Bun does nothing, because creating their own objects costs little.
 */
export function replaceGlobals(): void {
  if (isReplaced || "deno" in process.versions || "bun" in process.versions) return;
  isReplaced = true;
  replace("Response", DeferredResponse);
}

function replace(name: "Response" | "Request" | "fetch", value: unknown): void {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}
