/** What the Bun engine uses of Bun, so that the checkers of the other runtimes can read it. */

/** What is used of a server of Bun. */
export interface BunServer {
  /** The address; for a unix socket, its path. */
  readonly address: { readonly address: string; readonly port: number } | string;
  readonly pendingRequests: number;
  readonly pendingWebSockets: number;
  requestIP(request: Request): { address: string; port: number } | null;
  upgrade(request: Request, options?: unknown): boolean;
  closeIdleConnections(): number;
  stop(closeActiveConnections?: boolean): Promise<void>;
}

/** A listener of TCP or of a unix socket. */
export interface BunListener {
  readonly port: number;
  stop(closeActiveConnections: boolean): void;
}

interface BunRuntime {
  serve(options: Record<string, unknown>): BunServer;
  listen(options: Record<string, unknown>): BunListener;
}

/** The runtime. Only called on Bun. */
export function bun(): BunRuntime {
  // The cast: the types of other runtimes do not know Bun's namespace.
  return (globalThis as unknown as { Bun: BunRuntime }).Bun;
}
