// A program in CommonJS, and the state that entry points share.
const { serve, UpgradeError } = require("@x/graceful");
const upgrade = require("@x/graceful/upgrade");

serve(() => new Response("hello"), { port: 0, hostname: "127.0.0.1" }).then(async (server) => {
  const text = await (await fetch(server.url)).text();
  await server.shutdown();
  const { UpgradeError: same } = await import("@x/graceful/upgrade");
  const isShared = UpgradeError === same && UpgradeError === upgrade.UpgradeError;
  console.log(text, isShared);
  globalThis.process.exit(0);
});
