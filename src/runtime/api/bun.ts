/**
 * The types of the part of Bun's API that this package uses, written down here so that the type checkers
 * of the other runtimes can read them.
 */
import type { Refable } from "../../server/native_server.ts";

/** The part of a server of `Bun.serve` that this package uses. */
export interface BunServer extends Refable {
  /** The address of the server; for a unix socket, its path as a string. */
  readonly address: { readonly address: string; readonly port: number } | string;
  readonly pendingRequests: number;
  readonly pendingWebSockets: number;
  requestIP(request: Request): { address: string; port: number } | null;
  upgrade(request: Request, options?: unknown): boolean;
  closeIdleConnections(): number;
  reload(options: Record<string, unknown>): BunServer;
  timeout(request: Request, seconds: number): void;
  stop(closeActiveConnections?: boolean): Promise<void>;
}

/** A listener of `Bun.listen`, on TCP or on a unix socket. */
export interface BunListener {
  readonly port: number;
  stop(closeActiveConnections: boolean): void;
}

interface BunRuntime {
  serve(options: Record<string, unknown>): BunServer;
  listen(options: Record<string, unknown>): BunListener;
}

/** Returns the `Bun` namespace. Must be called on Bun only. */
export function bun(): BunRuntime {
  // The cast: the types of other runtimes do not know Bun's namespace.
  return (globalThis as unknown as { Bun: BunRuntime }).Bun;
}
