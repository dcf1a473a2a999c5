/**
 * The service of service.ts, which has to be the first process of its PID namespace. It begins when
 * the standard input ends.
 */
import process from "node:process";

if (process.pid !== 1) throw new Error(`This is process ${process.pid}`);
console.log("process 1");
for await (const _ of process.stdin);
await import("./service.ts");
