import type { Addr } from "../core/addr.ts";
import type { ConnInfo } from "../core/conn.ts";
import type { ShutdownReport } from "../core/report.ts";
import type { Engine } from "../options/serve.ts";
import type { ShutdownOptions } from "../options/shutdown.ts";
import type { CertificateOptions } from "../options/tls.ts";
import type { NativeServers } from "./native_server.ts";

/**
 * A server that shuts down like Go's `http.Server`, whichever engine runs it.
 *
 * @example
 * ```ts
 * import { serve } from "@x/graceful";
 *
 * const server = await serve(() => new Response("hello"), { port: 0 });
 * console.log(await (await fetch(server.url)).text()); // hello
 * await server.shutdown({ timeout: 15_000 });
 * ```
 */
export interface Server<On extends Engine = Engine> extends AsyncDisposable {
  /** The address of the listener. */
  readonly addr: Addr;
  /**
   * A URL that reaches the server from this machine. For a unix socket, the URL is `http+unix:` with
   * the path of the socket. For a server that `serveTcp` started, the schemes are `tcp:` and `tcp+unix:`, or
   * `tls:` and `tls+unix:`.
   */
  readonly url: string;
  /** The engine that runs the server's HTTP; `"node"` for `serveTcp`, which runs on `node:net`. */
  readonly engine: On;
  /**
   * The runtime's own server, for members that only it has: `publish`, `requestIP` or `timeout` of Bun, the
   * events of `node:http`. Undefined with the engine `"deno"`, which has no such server. For `serveTcp` it is a
   * server of `node:net`.
   *
   * Do not stop or close this server, and do not replace its event listeners, because the shutdown depends on them.
   * Bun's `reload` may be called: it replaces the handler and the routes, and the drain works as before. The type of
   * this property follows from that of `engine`: from the option of `serve`, or from a comparison such as
   * `server.engine === "bun"`.
   */
  readonly native: NativeServers[On];
  /** The way a successor gets the listener. Undefined if the listener cannot be handed over. */
  readonly handoff: "inherit" | "reuseport" | undefined;
  /** The state of the server: first `"serving"`, then `"draining"`, then `"closed"`. It never goes back. */
  readonly state: "serving" | "draining" | "closed";
  /**
   * A signal that aborts when the drain starts, or when the server is closed without a drain. An error
   * that an event listener of the signal throws is reported on the console and stops nothing.
   */
  readonly draining: AbortSignal;
  /**
   * A promise that resolves when the server is closed: after a complete drain, or after `close()`. The
   * promise never rejects.
   */
  readonly finished: Promise<void>;
  /** Returns the open connections, for logs and reports. */
  connections(): ConnInfo[];
  /**
   * Registers a function to call when a shutdown starts and the listeners are closed, as Go's
   * `RegisterOnShutdown` does. Use it to end long-lived connections, for example. The shutdown does not
   * wait for the function. An error of the function is reported on the console and stops nothing.
   *
   * The function may send last messages to WebSockets, and may close them itself. WebSockets that it leaves
   * open are sent a close frame when all functions, and the listeners of `draining`, have settled, for which
   * they have 5 s, or half of a `timeout` shorter than 10 s.
   *
   * @throws {ServerClosedError} If the drain has already started.
   */
  onShutdown(fn: () => unknown): void;
  /**
   * Makes a shutdown wait until the promise settles, for work that continues after a response. This is
   * for the handlers of an adopted server, whose connections can end before the work does; handlers of
   * `serve` have `info.waitUntil`. `connections()` and reports list the work as active, with the
   * server's own address. A rejection is reported on the console. `close()` does not wait for the work.
   *
   * @throws {TypeError} If `promise` is not a promise.
   */
  waitUntil(promise: PromiseLike<unknown>): void;
  /**
   * Presents other certificates on new connections, without a restart. No connection is lost, and open
   * connections are not affected. The certificates are checked first; if the promise rejects, the server
   * keeps its current certificates. Without `certificates`, the named certificates stay as they are.
   *
   * The engine `"node"` can do this everywhere. The engines `"deno"`, `"deno-serve"` and `"bun"` hand the
   * listener to a new one inside the process, on Linux and over TCP; Deno asks for `--allow-ffi`.
   *
   * @throws {TypeError} If the server has no TLS or was adopted, a certificate or a key cannot be read, or
   * they do not belong together.
   * @throws {ServerClosedError} If the drain has already started.
   * @throws {UpgradeError} If the engine cannot hand over its listener here. The message says what it needs.
   *
   * @example
   * ```ts
   * import { readFileSync } from "node:fs";
   * import { serve } from "@x/graceful";
   *
   * const certificate = () => ({
   *   cert: readFileSync(new URL("./tls.crt", import.meta.url)),
   *   key: readFileSync(new URL("./tls.key", import.meta.url)),
   * });
   * const server = await serve(() => new Response("hello"), { port: 0, ...certificate() });
   * await server.setCertificate(certificate());
   * await server.close();
   * ```
   */
  setCertificate(certificate: CertificateOptions): Promise<void>;
  /**
   * Closes the listeners, then the idle connections, and waits for the other connections to become
   * idle, as Go's `Shutdown` does. `shutdown` may be called many times, also concurrently: all calls
   * join the same drain, each with its own deadline. After `close()`, `shutdown` resolves.
   *
   * Before a listener closes, the server takes in the connections that the kernel has already accepted,
   * for at most about a second. A shutdown does not close active connections. It does not wait for work
   * that handlers do after their response, unless they pass that work to `waitUntil`.
   *
   * @throws {ShutdownIncompleteError} If `timeout` passes or `signal` aborts before the last
   * connection is gone. A passed deadline or an abort closes no connection.
   * @throws {TypeError} If an option has the wrong type.
   * @throws {RangeError} If an option is out of range.
   * @throws The first error of closing a listener, once the drain is complete.
   */
  shutdown(options?: ShutdownOptions): Promise<ShutdownReport>;
  /**
   * Closes the listeners and every connection at once, as Go's `Close` does. The request signals of
   * handlers in flight abort. `close` may be called at any time and many times.
   *
   * On Bun the kernel withholds a new connection until its first bytes, for up to a second. `close` then resolves when
   * the clients of such connections have been told.
   *
   * @throws The error of closing a listener.
   */
  close(): Promise<void>;
  /**
   * Makes the listener keep the process alive, which is the default, as `ref` of the runtimes does. Does nothing
   * once the server is closed.
   */
  ref(): void;
  /**
   * Lets the process end while the server listens, as `unref` of the runtimes does. Open connections and `graceful`
   * still keep the process alive. Does nothing once the server is closed.
   */
  unref(): void;
  /** Shuts the server down without a deadline: waits for as long as the last request takes. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A {@linkcode Server} on one of several engines. The property `engine` distinguishes them. */
export type ServerOn<On extends Engine> = On extends Engine ? Server<On> : never;
