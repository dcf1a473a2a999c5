/**
 * Notifies the service manager of each argument in turn, a state in JSON or "reloading", and says
 * what became of it.
 */
import process from "node:process";
import { notify, notifyReloading } from "../../src/systemd/mod.ts";

for (const arg of process.argv.slice(2)) {
  const result = arg === "reloading" ? notifyReloading() : notify(JSON.parse(arg));
  console.log("called");
  try {
    console.log(`sent: ${await result}`);
  } catch (error) {
    console.log(String(error));
  }
}
