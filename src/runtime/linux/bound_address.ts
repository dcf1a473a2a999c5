import type { Addr } from "../../core/addr.ts";
import { isSparePathOf } from "../../core/spare_path.ts";

/** Whether a socket that the kernel has at one address is the one that is known by another. */
export function isBoundTo(bound: Addr | undefined, addr: Addr): boolean {
  if (bound?.transport === "unix" && addr.transport === "unix") {
    return bound.path === addr.path || isSparePathOf(bound.path, addr.path);
  }
  return bound?.transport === "tcp" && addr.transport === "tcp" && bound.port === addr.port &&
    hostOf(bound.hostname) === hostOf(addr.hostname);
}

/** Returns the IPv4 address within an IPv6 one: runtimes write one or the other. */
function hostOf(hostname: string): string {
  return hostname.replace(/^::ffff:(?=\d+\.)/, "");
}
