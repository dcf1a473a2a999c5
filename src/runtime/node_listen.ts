/** How a server of Node's modules comes to listen. */
import type net from "node:net";
import type { Addr } from "../conn.ts";
import type { ServeSettings } from "../options.ts";
import { listenError } from "./listen_error.ts";

/** Has a server of node's listen where the settings say. */
export async function listen(
  listener: net.Server,
  { listen, backlog, reusePort }: Pick<ServeSettings, "listen" | "backlog" | "reusePort">,
): Promise<void> {
  try {
    await listening(
      listener,
      listen.transport === "unix"
        ? { path: listen.path, backlog }
        : { host: listen.hostname, port: listen.port, backlog, reusePort },
    );
  } catch (error) {
    throw listenError(listen, error);
  }
}

/** Resolves when the server listens, rejects if it cannot. */
export function listening(
  listener: net.Server,
  where: net.ListenOptions | { fd: number },
  backlog?: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once("error", reject);
    // The cast: the types leave `fd` out.
    listener.listen(where as net.ListenOptions & number, backlog as number, () => {
      listener.off("error", reject);
      resolve();
    });
  });
}

/** Where it listens. */
export function localAddr(listener: net.Server): Addr {
  const address = listener.address();
  if (address === null) throw new Error("The server does not listen");
  return typeof address === "string"
    ? { transport: "unix", path: address }
    : { transport: "tcp", hostname: address.address, port: address.port };
}
