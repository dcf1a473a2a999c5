/** Measures what a server takes in memory, and what each idle connection adds. */
import { openIdle, requestBytes, send } from "./load.ts";
import type { Kind } from "./server.ts";
import { ServerProcess, type ServerSpec } from "./server_process.ts";

/** In bytes. */
export interface Memory {
  readonly rss: number;
  readonly perConnection: number;
}

const CONNECTIONS = 1_000;

/** Has the heap grow to its working size, so that this is not counted as the connections'. */
const WARM_UP = { name: "kept-alive", requests: 20_000, concurrency: 32 } as const;

/** Opens idle connections to a fresh server and looks how much it has grown. */
export async function memoryOf(kind: Kind, spec: ServerSpec): Promise<Memory> {
  await using server = await ServerProcess.start(kind, spec);
  const { port } = server;
  const request = requestBytes("kept-alive", "");
  await send({ ...WARM_UP, port, request });
  const { rss } = await server.memory();
  const closeAll = await openIdle(port, request, CONNECTIONS);
  const grown = (await server.memory()).rss;
  closeAll();
  return { rss, perConnection: (grown - rss) / CONNECTIONS };
}
