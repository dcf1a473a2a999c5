/**
 * The ports at which a listener of this process refuses new connections, but stays open for the connections that
 * the kernel withholds, see `withheld_conns.ts`. Nothing else can listen at such a port until the listener
 * closes.
 */
import { ofProcess } from "../../core/process_state.ts";

/** A port that a listener holds. */
interface Hold {
  readonly port: number;
  readonly released: Promise<void>;
}

const holds = () => ofProcess(newHolds);
const newHolds = () => new Set<Hold>();

/** Records that a listener holds a port. Returns the function to call when the listener is closed. */
export function holdPort(port: number): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  const hold = { port, released: promise };
  holds().add(hold);
  return () => {
    holds().delete(hold);
    resolve();
  };
}

/** Returns a promise that resolves when no listener holds a port any more, or undefined if none does. */
export function untilReleased(port: number | undefined): Promise<unknown> | undefined {
  const own = [...holds()].filter((hold) => hold.port === port);
  return own.length === 0 ? undefined : Promise.all(own.map(({ released }) => released));
}
