import { H3 } from "h3";
import { graceful, serve } from "@x/graceful";
import { announce, cleanup, idleGrace, slow, timeout } from "./support.ts";

const app = new H3();
app.get("/", () => "hello");
app.get("/slow", () => slow());

const server = await serve(app.fetch, { port: 0, hostname: "127.0.0.1" });
announce(server.addr);
await graceful(server, { timeout, idleGrace, cleanup });
