import { graceful, serve } from "@x/graceful";
import app from "./app.ts";

const server = await serve(app.fetch, { port: 0, hostname: "127.0.0.1" });
const ending = graceful(server, { idleGrace: 100 });
console.log(`url: ${server.url};`);
await ending;
