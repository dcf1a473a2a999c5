/**
 * Prints how long the import of its first argument takes, in ms, on the runtime that runs this. What the other
 * arguments name is imported before.
 */
import process from "node:process";

const [specifier = "", ...before] = process.argv.slice(2);
for (const other of before) await import(other);
const began = performance.now();
await import(specifier);
console.log(performance.now() - began);
process.exit();
