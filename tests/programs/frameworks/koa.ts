import Koa from "koa";
import { graceful } from "@x/graceful";
import { announce, cleanup, idleGrace, slow, timeout } from "./support.ts";

const app = new Koa();
app.use(async (context) => {
  context.body = context.path === "/slow" ? await slow() : "hello";
});

const native = app.listen(0, "127.0.0.1", () => announce(native.address()));
await graceful(native, { timeout, idleGrace, cleanup });
