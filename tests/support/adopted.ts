import { once } from "node:events";
import type net from "node:net";

/** A handler for servers of Node's modules, with a gate that its slow route waits at. */
export class Gate {
  readonly #gate = Promise.withResolvers<void>();
  readonly arrived: Promise<void>;
  readonly #arrive: () => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.arrived = promise;
    this.#arrive = resolve;
  }

  open(): void {
    this.#gate.resolve();
  }

  /** What is to be sent for a path. */
  async answer(path: string | undefined): Promise<string> {
    if (path !== "/wait") return "hello";
    this.#arrive();
    await this.#gate.promise;
    return "waited";
  }
}

/** Has it listen on a port of its own. */
export async function listening(native: net.Server): Promise<void> {
  native.listen(0, "127.0.0.1");
  await once(native, "listening");
}
