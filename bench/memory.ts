/** Measures what a server takes in memory, and what each idle connection adds. */
import { clientOf, openIdle } from "./load.ts";
import type { Kind } from "./server.ts";
import { ServerProcess, type ServerSpec } from "./server_process.ts";

/** In bytes. */
export interface Memory {
  readonly rss: number;
  readonly perConnection: number;
}

const CONNECTIONS = 1_000;

/** So that the heap has its working size, which is then not counted as the connections'. */
const WARM_UP_REQUESTS = 20_000;

/** Opens idle connections to a fresh server and looks how much it has grown. */
export async function memoryOf(kind: Kind, spec: ServerSpec): Promise<Memory> {
  await using server = await ServerProcess.start(kind, spec);
  const client = await clientOf("kept-alive", server.port, "");
  await client.send(WARM_UP_REQUESTS);
  client.close();
  const { rss } = await server.memory();
  const closeIdle = await openIdle(server.port, CONNECTIONS);
  const grown = (await server.memory()).rss;
  closeIdle();
  return { rss, perConnection: (grown - rss) / CONNECTIONS };
}
