/** Says on which processors, its arguments, the C library is called. */
import process from "node:process";
import { openLibC } from "../../src/runtime/linux/libc.ts";

for (const arch of process.argv.slice(2)) {
  Object.defineProperty(process, "arch", { value: arch, configurable: true });
  console.log(`${arch}: ${openLibC() === undefined ? "no" : "yes"}`);
}
