import { Elysia } from "elysia";
import { graceful } from "@x/graceful";
import { announce, cleanup, idleGrace, slow, timeout } from "./support.ts";

const app = new Elysia()
  .get("/", () => "hello")
  .get("/slow", () => slow())
  .listen({ port: 0, hostname: "127.0.0.1" });
announce({ port: app.server!.port });
await graceful(app, { timeout, idleGrace, cleanup });
