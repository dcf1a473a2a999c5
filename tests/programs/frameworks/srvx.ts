import { H3, serve } from "h3";
import { graceful } from "@x/graceful";
import { announce, cleanup, idleGrace, slow, timeout } from "./support.ts";

const app = new H3();
app.get("/", () => "hello");
app.get("/slow", () => slow());

// `gracefulShutdown`: srvx would answer the signal as well.
const options = { port: 0, hostname: "127.0.0.1", silent: true, gracefulShutdown: false };
const server = await serve(app, options).ready();
const native = server.node!.server!;
announce(native.address());
await graceful(native, { timeout, idleGrace, cleanup });
