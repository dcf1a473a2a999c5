/** What not to do: the module that calls serve() also has a default export, which the runtime serves too. */
import { graceful, serve } from "@x/graceful";
import app from "./app.ts";

const server = await serve(app.fetch, { port: 0, hostname: "127.0.0.1" });
const ending = graceful(server, { idleGrace: 100 });
console.log(`url: ${server.url};`);
await ending;

export default app;
