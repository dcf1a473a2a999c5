import { Hono } from "hono";
import { graceful, serve, type ServeInfo } from "@x/graceful";
import { announce, cleanup, idleGrace, slow, timeout } from "./support.ts";

const app = new Hono<{ Bindings: ServeInfo }>();
app.get("/", (context) => context.text(context.env.draining.aborted ? "bye" : "hello"));
app.get("/slow", async (context) => context.text(await slow()));

const server = await serve(app.fetch, { port: 0, hostname: "127.0.0.1" });
announce(server.addr);
await graceful(server, { timeout, idleGrace, cleanup });
