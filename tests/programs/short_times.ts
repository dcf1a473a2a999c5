/** Starts two servers whose times may be meant in seconds. */
import { serve } from "../../mod.ts";

for (let i = 0; i < 2; i++) {
  const server = await serve(() => new Response("hello"), {
    port: 0,
    engine: "node",
    idleTimeout: 30,
    headerTimeout: 1_000,
  });
  await server.close();
}
