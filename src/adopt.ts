import { complain } from "./complain.ts";
import { adoptNode, isNodeServer, type NativeServer } from "./runtime/node_adopt.ts";
import { DrivenServer, type Server } from "./server.ts";

/** One for each: two tables of the same connections would each miss what the other ends. */
const adopted = new WeakMap<NativeServer, Server>();

/**
 * Brings a server that exists, of `node:http` or `node:https` (and so of Express, Fastify, Koa …),
 * so that it shuts down as those of {@linkcode serve} do. No method of it is replaced. Called again
 * for the same server it returns the same. If its owner closes it, it has finished when the last of
 * its connections is gone.
 *
 * To be called before the server takes connections: those that are open already are known only
 * from their next request on.
 *
 * @throws {TypeError} If it is not such a server.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { adopt } from "@x/graceful";
 *
 * const native = createServer((_request, response) => response.end("hello"));
 * const server = adopt(native.listen(0));
 * await server.shutdown({ timeout: 15_000 });
 * ```
 */
export function adopt(native: NativeServer): Server {
  if (!isNodeServer(native)) {
    throw new TypeError(
      `Cannot adopt as 'native' must be a server of node:http or node:https: current value is ${
        String(native)
      }`,
    );
  }
  return adopted.get(native) ?? adoptFirst(native);
}

function adoptFirst(native: NativeServer): Server {
  const server = new DrivenServer(adoptNode(native), new AbortController());
  adopted.set(native, server);
  // Its owner may close it as ever: then there is nothing left to drain, and it has finished.
  native.once("close", () => void server.shutdown().catch(complain));
  return server;
}
