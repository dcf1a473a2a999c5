import { printable } from "../../core/printable.ts";
import type { ServeSettings } from "../../options/serve.ts";
import type { DenoListenOptions } from "../api/deno.ts";

/**
 * Converts settings to the options with which Deno opens the listener. Throws if the settings ask for TLS
 * on a unix socket.
 */
export function listenOptions(
  { listen, tls, reusePort, backlog }: ServeSettings,
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
    ...tls,
  };
}
