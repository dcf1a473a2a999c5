/**
 * The little that the bench calls of packages that only `npm run bench` installs, so that the sources can be
 * checked without them.
 */
declare module "http-terminator" {
  import type { Server } from "node:http";
  export function createHttpTerminator(
    options: { server: Server; gracefulTerminationTimeout?: number },
  ): { terminate(): Promise<void> };
}

declare module "lil-http-terminator" {
  import type { Server } from "node:http";
  export default function HttpTerminator(
    options: { server: Server; gracefulTerminationTimeout?: number },
  ): { terminate(): Promise<{ success: boolean }> };
}

declare module "http-graceful-shutdown" {
  import type { Server } from "node:http";
  export default function gracefulShutdown(
    server: Server,
    options?: { signals?: string; timeout?: number; forceExit?: boolean },
  ): () => Promise<void>;
}

declare module "@godaddy/terminus" {
  import type { Server } from "node:http";
  export function createTerminus(
    server: Server,
    options?: {
      signal?: string;
      timeout?: number;
      onShutdown?: () => Promise<void>;
    },
  ): Server;
}

declare module "stoppable" {
  import type { Server } from "node:http";
  export default function stoppable<Stopped extends Server>(
    server: Stopped,
    grace?: number,
  ): Stopped & { stop(callback?: (error?: Error) => void): void };
}

declare module "vega" {
  /** The level of errors in logs. */
  const errors: number;
  export { errors as Error };
  export function logger(level: number): object;
  export function parse(spec: object): object;
  export class View {
    constructor(runtime: object, options?: { renderer?: "none" });
    toSVG(): Promise<string>;
    finalize(): void;
  }
}

declare module "vega-lite" {
  export function compile(
    spec: object,
    options?: { logger?: object },
  ): { spec: object };
}
