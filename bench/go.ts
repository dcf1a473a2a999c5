/** The server of Go, which is measured where Go is installed. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { run } from "./children.ts";
import { temporaryFolder } from "./temporary_folder.ts";

/** The version of Go such as "go 1.26.1", or undefined where Go is not installed. */
export function versionOfGo(): string | undefined {
  try {
    const version = execFileSync("go", ["env", "GOVERSION"], {
      encoding: "utf8",
    });
    return version.trim().replace(/^go/, "go ");
  } catch {
    return undefined;
  }
}

let built: Promise<string> | undefined;

/** Builds the server, once, and resolves with the program. */
export function goServer(): Promise<string> {
  return built ??= build();
}

async function build(): Promise<string> {
  const program = join(temporaryFolder(), "server");
  await run(["go", "build", "-o", program, "."], {
    cwd: fileURLToPath(new URL("servers/go/", import.meta.url)),
  });
  return program;
}
