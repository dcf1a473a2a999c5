import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { graceful } from "@x/graceful";
import { announce, cleanup, idleGrace, slow, timeout } from "./support.ts";

const app = new Hono();
app.get("/", (context) => context.text("hello"));
app.get("/slow", async (context) => context.text(await slow()));

const native = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, announce);
await graceful(native, { timeout, idleGrace, cleanup });
