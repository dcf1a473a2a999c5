import { reportError } from "../core/report_error.ts";
import { refuse } from "../options/checks.ts";
import { isNativeServer, type NativeServer } from "../runtime/native_servers.ts";
import { DrivenServer } from "../server/driven_server.ts";
import type { Server } from "../server/server.ts";

/**
 * An app whose property `server` is the server that it listens with, such as an app of Fastify, of Polka, or
 * of Elysia on Bun. Many apps have a server only once they listen.
 */
export interface AppWithServer {
  /** The server, or nothing as long as the app does not listen. */
  readonly server?: NativeServer | null | undefined;
}

/**
 * Returns the servers that a value stands for.
 *
 * @throws {TypeError} If the value is neither a server nor an app that has one.
 */
export function serversOf(
  value: Server | NativeServer | AppWithServer,
): (DrivenServer | NativeServer)[] {
  if (value instanceof DrivenServer) return [value];
  if (isNativeServer(value)) {
    if (closersOf(value).length > 0) reportFurtherServers();
    return [value];
  }
  // The cast: what a caller without a type checker passes can lack the property, or be no object.
  const { server } = Object(value) as { server?: unknown };
  if (isNativeServer(server)) return [server, ...furtherServersOf(value, server)];
  const forgotten = value instanceof Promise ? " (did you forget 'await'?)" : "";
  refuse(
    "call graceful() as 'servers'",
    "a server of serve() or serveTcp(), a server that adopt() accepts, an app that listens with such a " +
      `server, or an array of these${forgotten}`,
    value,
  );
}

/**
 * Returns the additional servers of an app of Fastify. For `localhost`, which has two addresses on most
 * machines, Fastify creates one server for each address.
 *
 * Fastify would close these servers when the first one has closed, but the `idleGrace` of their
 * connections may not be over by then. This function therefore removes Fastify's listener, and the caller
 * drains all of the servers.
 *
 * @see https://github.com/fastify/fastify/blob/v5.12.8/lib/server.js (`multipleBindings`)
 */
function furtherServersOf(app: object, first: NativeServer): NativeServer[] {
  const closers = closersOf(first);
  if (closers.length === 0 || !("off" in first)) return [];
  const bindings = Object.getOwnPropertySymbols(app)
    .find(({ description }) => description === "fastify.serverBindings");
  // The cast: the types of Fastify lack the property.
  const servers: unknown = bindings && (app as Record<symbol, unknown>)[bindings];
  if (!Array.isArray(servers) || !servers.every(isNativeServer)) {
    reportFurtherServers();
    return [];
  }
  for (const close of closers) first.off("close", close);
  return servers;
}

/**
 * Returns the functions with which Fastify closes its additional servers. Fastify adds them to the first
 * server as listeners of "close" and of "unref", an event that Node itself does not emit.
 */
function closersOf(server: NativeServer): ((...values: unknown[]) => void)[] {
  // The cast: the listeners of an event that the types do not know.
  return "listeners" in server ? server.listeners("unref") as (() => void)[] : [];
}

/** Reports that only a part of the app will be drained. */
function reportFurtherServers(): void {
  reportError(
    "graceful: Fastify listens on 'localhost' with one server for each address, and only the first server is " +
      "drained: pass the app itself to graceful(), or a 'host' to listen()",
  );
}
