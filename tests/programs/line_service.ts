/** A line protocol that is handed over at SIGHUP: each line is answered with the process id. */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { graceful, serveTcp } from "../../mod.ts";

/** Of the line `slow`, in ms. */
const SLOW = 1_500;

console.log(`starts: ${process.pid}`);
const server = await serveTcp(async ({ readable, writable, setState }) => {
  const writer = writable.getWriter();
  for await (const text of readable.pipeThrough(new TextDecoderStream())) {
    if (text === "slow\n") {
      console.log(`arrived: slow;`);
      await sleep(SLOW);
    }
    await writer.write(new TextEncoder().encode(`${process.pid}\n`));
    setState("idle");
  }
}, { port: 0, hostname: "127.0.0.1", handoff: process.argv[2] as "inherit" });
const { addr, handoff } = server;
console.log(`up: ${addr.transport === "tcp" && addr.port} ${handoff};`);
const ending = graceful(server, { upgradeOn: "SIGHUP" });
console.log(`graceful: ${process.pid};`);
const { cause, exitCode } = await ending;
console.log(`down: ${process.pid} ${cause} ${exitCode};`);
