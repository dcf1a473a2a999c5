/**
 * Clients of a server at the port of the first argument: so many idle ones as the second says, and as many that have
 * sent nothing. At SIGUSR2 each sends a request, and the program says how many were answered.
 */
import process from "node:process";
import { connect, request } from "../../support/client.ts";

const [port, count] = process.argv.slice(2).map(Number);
const open = () => connect({ transport: "tcp", hostname: "127.0.0.1", port: port! });
// All at once: their times must not run out before the last one is open.
const clients = (await Promise.all(Array.from({ length: count! }, async () => {
  const [idle, silent] = await Promise.all([open(), open()]);
  idle.write(request("/"));
  await idle.response();
  return [idle, silent];
}))).flat();
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
