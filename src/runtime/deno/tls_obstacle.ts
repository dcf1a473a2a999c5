import { type Engine, HTTP_PROTOCOLS } from "../../options/serve.ts";
import type { TlsSettings } from "../../options/tls.ts";
import { openKernelSockets } from "../linux/kernel_sockets.ts";
import { internals } from "./internals.ts";

/**
 * Returns the rule that settings of TLS break on the engines `"deno"` and `"deno-serve"`, or undefined if
 * the engine supports the settings.
 */
export function denoTlsObstacle(engine: Engine, tls: TlsSettings): string | undefined {
  if (tls.ca !== undefined) return "'requestCert' must be absent, as Deno asks for no certificates";
  if (tls.minVersion !== "TLSv1.2") return "'minVersion' must be \"TLSv1.2\"";
  if (engine === "deno-serve") {
    const { alpnProtocols = HTTP_PROTOCOLS } = tls;
    if (alpnProtocols.length < HTTP_PROTOCOLS.length) {
      return "'alpnProtocols' must have both protocols";
    }
    return tls.certificates.named.size === 0 ? undefined : "'certificates' must be absent";
  }
  return tls.certificates.named.size === 0 ? undefined : namesObstacle();
}

/**
 * Returns the rule that certificates for single server names break on the engine `"deno"`. Clients can make
 * up as many names as they like, and Deno remembers each of them until its listener is replaced.
 */
export function namesObstacle(): string | undefined {
  if (internals.certificateResolver() === undefined) {
    return "'certificates' must be absent, as this version of Deno cannot choose a certificate by server name";
  }
  return openKernelSockets() === undefined
    ? "'certificates' must be absent on a system other than Linux, and without --allow-ffi"
    : undefined;
}
