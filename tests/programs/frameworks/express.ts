import express from "express";
import { graceful } from "@x/graceful";
import { announce, cleanup, idleGrace, slow, timeout } from "./support.ts";

const app = express();
app.get("/", (_request, response) => void response.send("hello"));
app.get("/slow", async (_request, response) => void response.send(await slow()));

const native = app.listen(0, "127.0.0.1", () => announce(native.address()));
await graceful(native, { timeout, idleGrace, cleanup });
