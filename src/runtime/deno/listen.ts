import { printable } from "../../core/printable.ts";
import type { ServeSettings } from "../../options/serve.ts";
import { certificateFor, type Certificates } from "../../options/tls.ts";
import type { DenoListenOptions } from "../api/deno.ts";
import { internals } from "./internals.ts";

/** The number of server names whose certificates a listener may remember. */
export const MAX_NAMES = 1_000;

/**
 * Converts settings to the options with which Deno opens the listener. Throws if the settings ask for TLS
 * on a unix socket. `onCrowded` is called when Deno remembers the certificates of {@linkcode MAX_NAMES}
 * server names. Clients can make up any number of names, and Deno never forgets one while the listener is
 * open.
 */
export function listenOptions(
  { listen, tls, reusePort, backlog }: ServeSettings,
  onCrowded: () => void = () => {},
): DenoListenOptions {
  if (listen.transport === "unix") {
    if (tls === undefined) return listen;
    throw new TypeError(
      `Cannot serve as 'path' must be absent where 'cert' is given, because Deno has no TLS on unix sockets: current value is "${
        printable(listen.path)
      }"`,
    );
  }
  const { hostname, port } = listen;
  return {
    transport: "tcp",
    hostname,
    port,
    reusePort,
    ...(backlog === undefined ? {} : { tcpBacklog: backlog }),
    ...(tls === undefined ? {} : certificateOptions(tls.certificates, onCrowded)),
  };
}

function certificateOptions(certificates: Certificates, onCrowded: () => void): object {
  const resolver = internals.certificateResolver();
  if (certificates.named.size === 0 || resolver === undefined) return { ...certificates.standard };
  let names = 0;
  return {
    [resolver]: (serverName: string) => {
      names++;
      if (names === MAX_NAMES) onCrowded();
      return certificateFor(certificates, serverName.toLowerCase());
    },
  };
}
