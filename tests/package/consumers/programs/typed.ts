// Uses the types of each entry point. What would compile with `any` alone is checked where the types are installed.
import { adopt, graceful, type GracefulReport, serve, type Server } from "@x/graceful";
import { health } from "@x/graceful/health";
import { supervise, type Supervisor } from "@x/graceful/supervisor";
import { notify } from "@x/graceful/systemd";
import { Upgrader } from "@x/graceful/upgrade";

export async function main(handler: (request: Request) => Response): Promise<GracefulReport> {
  await using other: Server = await serve(handler, { port: 0, node: { requestTimeout: 1_000 } });
  // @ts-expect-error: a port is a number
  serve(handler, { port: "0" });
  const server = await serve(health({ next: handler }), { engine: "node" });
  server.native.on("connection", () => {});
  adopt(server.native);
  await notify({ STATUS: "ready" });
  const supervisor: Supervisor = await supervise({ command: ["true"] });
  use(supervisor.status().workers.length, other.addr, new Upgrader());
  return await graceful(server, { timeout: 1_000 });
}

function use(..._values: unknown[]): void {}
