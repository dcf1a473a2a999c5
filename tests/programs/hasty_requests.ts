/**
 * Clients of a server at the port of the first argument: so many idle ones as the second says, and as many that have
 * sent nothing. At SIGUSR2 each sends a request, and the program says how many were answered.
 */
import process from "node:process";
import { connect, type RawClient, request } from "../../support/client.ts";

const [port, count] = process.argv.slice(2).map(Number);
const open = () => connect({ transport: "tcp", hostname: "127.0.0.1", port: port! });
const clients: RawClient[] = [];
for (let i = 0; i < count!; i++) {
  const idle = await open();
  idle.write(request("/"));
  await idle.response();
  clients.push(idle, await open());
}
process.on("SIGUSR2", async () => {
  const answers = await Promise.all(clients.map(async (client) => {
    client.write(request("/"));
    return await client.response().then(({ status }) => status === 200, () => false);
  }));
  console.log(`answered: ${answers.filter(Boolean).length} of ${clients.length};`);
  process.exit();
});
console.log("open;");
setInterval(() => {}, 1_000);
