import { after } from "node:test";
import { rmSync } from "node:fs";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type Engine, serve, type ServeInfo, type ServeOptions, type Server } from "../../mod.ts";
import { openLibC } from "../../src/runtime/linux/libc.ts";
import { connect, request } from "../../support/client.ts";
import { currentRuntime, type Runtime } from "../../support/runtimes.ts";

/** The runtime that runs the tests. */
export const runtime: Runtime = currentRuntime;

/** Whether this is a Deno before 2.9.6, which changed what becomes of uploads. */
export const isOlderDeno: boolean = runtime === "deno" &&
  process.versions["deno"]!.localeCompare("2.9.6", undefined, { numeric: true }) < 0;

/** Whether the engines "bun" and "deno" have the kernel's help, which changes what they promise. */
export const hasKernelHelp: boolean = process.platform === "linux" &&
  (runtime !== "deno" || openLibC() !== undefined);

/** Its engines, the default one first. */
export const engines: readonly Engine[] = {
  node: ["node"] as const,
  deno: ["deno", "deno-serve", "node"] as const,
  bun: ["bun", "node"] as const,
}[runtime];

/** In bytes: more than all the buffers of a connection on loopback take together. */
export const BIG: number = 32 * 1024 * 1024;

/** A certificate for tests, of localhost and 127.0.0.1. */
export const pem: { cert: string; key: string } = {
  cert: readFileSync(new URL("./cert.pem", import.meta.url), "utf8"),
  key: readFileSync(new URL("./key.pem", import.meta.url), "utf8"),
};

/** A server of every test handler, with a gate that its slow ones wait at. */
export class Fixture {
  server!: Server;
  /** What the handlers threw, as `onError` was told. */
  readonly errors: unknown[] = [];
  /** The requests whose signal has aborted. */
  readonly aborted: string[] = [];
  readonly #gate = Promise.withResolvers<void>();
  readonly #arrivals: string[] = [];
  #arrival = Promise.withResolvers<void>();

  /** Lets the slow handlers go on. */
  open(): void {
    this.#gate.resolve();
  }

  /** Resolves when a request for the path has reached its handler, or its body begins to flow. */
  async arrived(path: string): Promise<void> {
    while (!this.hasArrived(path)) await this.#arrival.promise;
  }

  hasArrived(path: string): boolean {
    return this.#arrivals.includes(path);
  }

  /** Resolves when what was sent to the server before has reached it: it accepts in order. */
  async settled(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      const client = await connect(
        this.server.addr,
        this.server.url.startsWith("https") ? { alpn: "http/1.1" } : {},
      );
      client.write(request("/hello", "Connection: close"));
      await client.response();
      await client.closed;
    }
  }

  handler = (req: Request, info: ServeInfo): Response | Promise<Response> => {
    // The base is for HTTP/1.0 on Bun, where the URL of a request without a host is its path.
    const { pathname } = new URL(req.url, "http://test");
    const route = this.#routes[pathname];
    if (route === undefined) return new Response("no such route", { status: 404 });
    this.#announce(pathname);
    return route(req, info);
  };

  #announce(what: string): void {
    this.#arrivals.push(what);
    this.#arrival.resolve();
    this.#arrival = Promise.withResolvers();
  }

  #routes: Record<string, (req: Request, info: ServeInfo) => Response | Promise<Response>> = {
    "/hello": () => new Response("hello"),
    "/wait": async (req) => {
      req.signal.addEventListener("abort", () => this.aborted.push("/wait"));
      await this.#gate.promise;
      return new Response("waited");
    },
    "/stuck": () => new Promise<Response>(() => {}),
    "/upload": async (req) => new Response(`got ${(await req.text()).length}`),
    "/ignore-upload": async () => {
      await this.#gate.promise;
      return new Response("too much", { status: 413 });
    },
    "/stream": () =>
      new Response(this.#bodyOf(async (controller) => {
        controller.enqueue(bytes("first "));
        this.#announce("/stream started");
        await this.#gate.promise;
        controller.enqueue(bytes("last"));
        controller.close();
      })),
    "/endless": (_req, info) =>
      new Response(this.#bodyOf((controller) => {
        controller.enqueue(bytes("first "));
        info.draining.addEventListener("abort", () => {
          controller.enqueue(bytes("drained"));
          controller.close();
        });
      })),
    "/stuck-stream": () =>
      new Response(this.#bodyOf((controller) => {
        controller.enqueue(bytes("first "));
      })),
    "/big": () => new Response(new Uint8Array(BIG)),
    "/big-stream": () => {
      const chunk = new Uint8Array(64 * 1024);
      let left = BIG / chunk.length;
      return new Response(
        new ReadableStream({
          pull(controller) {
            if (left-- > 0) controller.enqueue(chunk);
            else controller.close();
          },
        }),
      );
    },
    "/204": () => new Response(null, { status: 204 }),
    "/304": () => new Response(null, { status: 304 }),
    "/throw": () => {
      throw new Error("thrown by /throw");
    },
    "/reject": async () => {
      await this.#gate.promise;
      throw new Error("rejected by /reject");
    },
    "/throw-streaming": () =>
      new Response(this.#bodyOf(async (controller) => {
        controller.enqueue(bytes("first "));
        await this.#gate.promise;
        controller.error(new Error("thrown while streaming"));
      })),
  };

  #bodyOf(
    write: (controller: ReadableStreamDefaultController<Uint8Array>) => void | Promise<void>,
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    // The cast: a stream of bytes, whatever buffer they are in.
    return new ReadableStream({
      start(controller) {
        // Not waited for: a stream that is starting gives nothing away. One that was canceled
        // takes nothing.
        (async () => await write(controller))().catch(() => {});
      },
    }) as ReadableStream<Uint8Array<ArrayBuffer>>;
  }
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

const open = new Set<Server>();
after(async () => {
  await Promise.all([...open].map((server) => server.close()));
});

/** Starts a server of test handlers on an engine of this runtime. */
export async function start(engine: Engine, options: ServeOptions = {}): Promise<Fixture> {
  const fixture = new Fixture();
  const where = options.path === undefined ? { port: 0, hostname: "127.0.0.1" } : {};
  fixture.server = await serve(fixture.handler, {
    ...where,
    engine,
    onError: (error) => {
      fixture.errors.push(error);
      return new Response("failed", { status: 500 });
    },
    ...options,
  });
  open.add(fixture.server);
  fixture.server.finished.then(() => open.delete(fixture.server));
  return fixture;
}

/** The folders of {@linkcode temporaryFolder}, which are removed at the end: tests may run side by side. */
const folders = new Set<string>();
const removeFolders = () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
};
after(removeFolders);
// Bun runs the hook after the first of the files alone that use this one.
process.on("exit", removeFolders);
// Deno runs neither with `--filter`, which leaves the hook out. Node has no such function.
globalThis.addEventListener?.("unload", removeFolders);

/** A new folder, removed when the file's tests are done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "graceful-"));
  folders.add(folder);
  return folder;
}
