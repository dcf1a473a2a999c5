/** Clients with many connections, from many addresses of this machine. */
import { Connection } from "./connection.ts";
import { LOADS } from "./load.ts";

/** The connections from one address: there are some 28 000 ports, less those of the runs before. */
const PER_ADDRESS = 1_000;

/** The connections that are opened at a time: more could overflow the accept queue. */
const AT_A_TIME = 64;

/** The address of the client of a connection. */
function addressOf(connection: number): string {
  return `127.0.0.${2 + Math.floor(connection / PER_ADDRESS)}`;
}

/** Opens that many connections and sends a request over each, after which it is idle. */
export async function openIdle(
  port: number,
  count: number,
): Promise<Connection[]> {
  const connections: Connection[] = [];
  while (connections.length < count) {
    const first = connections.length;
    const batch = Array.from(
      { length: Math.min(AT_A_TIME, count - first) },
      (_, i) => {
        return new Connection(port, addressOf(first + i));
      },
    );
    connections.push(...batch);
    await Promise.all(batch.map(async (connection) => {
      await connection.opened;
      await connection.answerTo(LOADS.get.request);
    }));
  }
  return connections;
}
