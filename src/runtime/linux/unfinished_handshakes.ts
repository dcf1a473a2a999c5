import type { KernelSockets } from "./kernel_sockets.ts";
import { WithheldConns } from "./withheld_conns.ts";

/** The least number of ms between two looks at the handshakes. */
const INTERVAL = 5;

/** The least pause between two looks, as a multiple of the time that a look takes. */
const SHARE = 4;

/**
 * Finds the handshakes with a TCP listener that have begun, and returns a function that tells whether one of them
 * may still finish. To be called when the kernel keeps new handshakes away from the listener: the close of the listener
 * would reset the clients, who take a round trip to finish a handshake. Where the kernel does not report handshakes,
 * the function returns false.
 */
export function unfinishedHandshakes(kernel: KernelSockets, listener: number): () => boolean {
  const addr = kernel.addressOf(listener);
  if (addr?.transport !== "tcp") return () => false;
  const begun = kernel.handshakesAt(addr) ?? [];
  const handshakes = new WithheldConns({
    all: () => begun,
    again: (some) => kernel.lookAgain(addr, some),
  });
  let next = 0;
  return () => {
    const start = performance.now();
    if (start >= next && !handshakes.isEmpty) {
      handshakes.look();
      const end = performance.now();
      next = end + Math.max(INTERVAL, SHARE * (end - start));
    }
    return !handshakes.isEmpty;
  };
}
