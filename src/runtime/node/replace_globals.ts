/** The option `replaceGlobals`: a lighter `Response`, and a `Request` and `fetch` that know lazy requests. */
import process from "node:process";
import { patchGlobalRequest } from "srvx/node";
import { DeferredResponse } from "./deferred_response.ts";
import { nativeOf } from "./srvx_internals.ts";

/**
 * Replaces the global `Response`, `Request` and `fetch` of Node, for the rest of the process. Does nothing
 * on Deno and Bun, where a `Response` costs little.
 *
 * Node's own `Request` and `fetch` refuse the requests that handlers get, because such a request has a
 * native object only when something needs it. The replacements take that native object.
 */
export function replaceGlobals(): void {
  if ("deno" in process.versions || "bun" in process.versions) return;
  // The cast: the types of the two classes differ in what their static methods take.
  if (globalThis.Response === DeferredResponse as unknown) return;
  replace("Response", DeferredResponse);
  patchGlobalRequest();
  const { fetch } = globalThis;
  const taking = (input: RequestInfo | URL, init?: RequestInit) => fetch(nativeOf(input), init);
  replace("fetch", Object.defineProperty(taking, "name", { value: "fetch" }));
}

function replace(name: "Response" | "fetch", value: unknown): void {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}
