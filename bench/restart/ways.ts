/** The ways to restart a service that are compared. */
import type { Engine } from "../../mod.ts";
import { commandOf, type Runtime } from "../../support/runtimes.ts";
import type { Command, Processes } from "../../support/processes.ts";

/** How a successor gets the listener: `ServeOptions.handoff`. */
export type Handoff = "auto" | "inherit" | "reuseport";

/** A way to restart a service. */
export interface Way {
  /** What starts the service on a port. */
  command(port: number): Command;
  /** Replaces the process. Resolves with the new one once that serves and the old one is gone. */
  replace(processes: Processes, old: number, command: Command): Promise<number>;
}

/** This package's way: a signal. */
export function handOff(
  runtime: Runtime,
  handoff: Handoff,
  engine: "auto" | Engine,
): Way {
  return {
    command: (
      port,
    ) => [
      ...commandOf(runtime, new URL("service.ts", import.meta.url)),
      `${port}`,
      handoff,
      engine,
    ],
    async replace(processes, old) {
      processes.signal(old, "SIGHUP");
      const successor = await processes.nextReady();
      await processes.gone(old);
      return successor;
    },
  };
}

/** Stop the old process, then start a new one. */
export function stopAndStart(runtime: Runtime): Way {
  return {
    command: (
      port,
    ) => [
      ...commandOf(runtime, new URL("naive_service.ts", import.meta.url)),
      `${port}`,
      "alone",
    ],
    async replace(processes, old, command) {
      processes.signal(old, "SIGTERM");
      await processes.gone(old);
      return await processes.start(command);
    },
  };
}

/** Start a new process that listens on the same port as well, then stop the old one. */
export function naiveReusePort(runtime: Runtime): Way {
  return {
    command: (
      port,
    ) => [
      ...commandOf(runtime, new URL("naive_service.ts", import.meta.url)),
      `${port}`,
      "reuseport",
    ],
    async replace(processes, old, command) {
      const successor = await processes.start(command);
      processes.signal(old, "SIGTERM");
      await processes.gone(old);
      return successor;
    },
  };
}
