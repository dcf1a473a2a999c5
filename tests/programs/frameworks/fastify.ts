import fastify from "fastify";
import { graceful } from "@x/graceful";
import { announce, cleanup, idleGrace, slow, timeout } from "./support.ts";

const app = fastify();
app.addHook("onClose", cleanup);
app.get("/", () => "hello");
app.get("/slow", () => slow());

await app.listen({ port: 0, host: "127.0.0.1" });
announce(app.server.address());
await graceful(app, { timeout, idleGrace, cleanup: () => app.close() });
