import { type Addr, unmapped } from "../../core/addr.ts";
import { isSparePathOf } from "../../core/spare_path.ts";

/**
 * Reports whether `bound`, the address at which the kernel has a socket, belongs to the socket that this
 * process knows by the address `addr`. A unix socket may be bound at a spare path of `addr`.
 */
export function isBoundTo(bound: Addr | undefined, addr: Addr): boolean {
  if (bound?.transport === "unix" && addr.transport === "unix") {
    return bound.path === addr.path || isSparePathOf(bound.path, addr.path);
  }
  return bound?.transport === "tcp" && addr.transport === "tcp" && bound.port === addr.port &&
    unmapped(bound.hostname) === unmapped(addr.hostname);
}
