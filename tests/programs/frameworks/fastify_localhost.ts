import dns from "node:dns";
import process from "node:process";
import fastify from "fastify";
import { graceful } from "@x/graceful";
import { secondLoopback } from "../../support/loopback.ts";
import { announce, cleanup, slow, timeout } from "./support.ts";

// Here "localhost" has two addresses, as on most machines, whatever this machine says.
const addresses = ["127.0.0.1", secondLoopback].map((address) => ({
  address,
  family: address.includes(":") ? 6 : 4,
}));
const { lookup } = dns;
Object.assign(dns, {
  lookup(name: string, options: dns.LookupOptions, callback: (...found: unknown[]) => void) {
    if (name !== "localhost") lookup(name, options, callback);
    else if (options.all) callback(null, addresses);
    else callback(null, addresses[0]!.address, addresses[0]!.family);
  },
});

const app = fastify();
app.addHook("onClose", cleanup);
app.get("/", () => "hello");
app.get("/slow", () => slow());

await app.listen({ port: 0 });
announce(app.server.address());
const { server } = app;
/** What graceful() is given; "another app" shows its server, and nothing of Fastify's internals. */
const served = { "app": app, "server": server, "another app": { server } };
// The cast: the tests pass one of these keys, or nothing.
const given = (process.argv[3] ?? "app") as keyof typeof served;
await graceful(served[given], { timeout, idleGrace: timeout / 2, cleanup: () => app.close() });
