import polka from "polka";
import { graceful } from "@x/graceful";
import { announce, cleanup, idleGrace, slow, timeout } from "./support.ts";

const app = polka();
app.get("/", (_request, response) => void response.end("hello"));
app.get("/slow", async (_request, response) => void response.end(await slow()));

app.listen(0, "127.0.0.1", () => announce(app.server!.address()));
await graceful(app, { timeout, idleGrace, cleanup });
