import { attempt } from "../../core/attempt.ts";
import type { Addr } from "../../core/addr.ts";
import { UpgradeError } from "../../core/errors.ts";
import { listenError } from "../host/listen_error.ts";
import { HTTP_PROTOCOLS, type ServeSettings } from "../../options/serve.ts";
import type { Certificates } from "../../options/tls.ts";
import type { Refable } from "../../server/native_server.ts";
import { ServedCertificates } from "../../server/served_certificates.ts";
import { addrOf, deno, type DenoListener, type DenoListenOptions } from "../api/deno.ts";
import { type ListeningSocket, openListenerKnown } from "../linux/kernel_sockets.ts";
import { PlaceholderListener, soleListenerAt } from "../linux/placeholder_listener.ts";
import { type ClosingQueue, closingQueue } from "./accept_queue.ts";
import { Acceptor, type AcceptorEvents } from "./acceptor.ts";
import { listenOptions } from "./listen.ts";
import { namesObstacle } from "./tls_obstacle.ts";

/** A listener of Deno, with its socket if the socket is known. */
export interface OpenedListener {
  readonly listener: DenoListener;
  readonly socket: ListeningSocket | undefined;
}

/**
 * The listener of a server of the engine `"deno"`, with its accept loop. Deno cannot change the certificates
 * of a listener, so a listener with other certificates takes its place, on the same socket.
 */
export class ServerListener implements Refable {
  readonly addr: Addr;
  /** The certificates of the listener. Undefined without TLS. */
  readonly certificates: ServedCertificates | undefined;
  readonly #settings: ServeSettings;
  readonly #events: AcceptorEvents;
  /** Whether the socket was opened elsewhere. */
  readonly #isGiven: boolean;
  #placeholder: PlaceholderListener<DenoListener> | undefined;
  #acceptor: Acceptor;
  /** The acceptors whose listener was replaced and that may still accept one last connection. */
  readonly #replaced = new Set<Acceptor>();
  /** The socket that was opened here, as far as it is known. */
  readonly #own: ListeningSocket | undefined;
  /** The descriptor of the socket that has replaced a placeholder listener. */
  #fd: number | undefined;
  #isClosing = false;
  /** Whether the listener keeps the process alive. */
  #isRef = true;
  #onMoved = (_fd: number): void => {};

  /**
   * Opens the listener and starts to accept, unless the settings name the address of a socket: then
   * {@linkcode ServerListener.acceptOn} starts to accept. `where` replaces the address in the settings, and
   * `opened` is a listener that is open already.
   */
  constructor(
    settings: ServeSettings,
    events: AcceptorEvents,
    where?: DenoListenOptions,
    opened?: OpenedListener,
  ) {
    const { socket, tls } = settings;
    this.#settings = settings;
    this.#events = events;
    this.#isGiven = socket !== undefined;
    const isSecure = tls !== undefined && (where === undefined || where.transport === "tcp");
    if (isSecure) {
      const present = (certificates: Certificates) => this.#replaceListener(certificates);
      this.certificates = new ServedCertificates(tls.certificates, present);
    }
    this.#placeholder = socket && this.#openPlaceholder(socket, tls?.certificates);
    const { listener, socket: own } = this.#placeholder === undefined
      ? opened ?? this.#openAt(where)
      : { listener: this.#placeholder.listener, socket: undefined };
    this.#own = own;
    this.addr = socket ?? addrOf(listener.addr);
    this.#acceptor = new Acceptor(listener, events);
    if (socket === undefined) this.#acceptor.start();
  }

  /** Whether no connection can arrive: a closed listener may still accept one last connection. */
  get isOver(): boolean {
    return this.#acceptor.isOver && this.#replaced.size === 0;
  }

  /** The path of the file of a unix socket that was opened here. */
  get socketFile(): string | undefined {
    return this.#isGiven ? undefined : this.#acceptor.listener.addr.path;
  }

  acceptOn(fd: number, onMoved: (fd: number) => void): number {
    this.#onMoved = onMoved;
    this.#fd = this.#placeholder!.replaceListener(fd);
    this.#acceptor.start();
    return this.#fd;
  }

  /**
   * Returns the accept queue of the listener, which is about to close. From now on the listener is not replaced. With
   * `isShared` another process accepts on the socket too.
   */
  closingQueue(isShared: boolean): ClosingQueue {
    this.#isClosing = true;
    const known = this.#isGiven ? { given: this.#fd } : { own: this.#ownSocket() };
    return closingQueue(this.addr, () => this.#acceptor.accepted, {
      ...known,
      isShared,
      refuses: true,
    });
  }

  /** Returns the socket that was opened here, of which another listener may have another descriptor by now. */
  #ownSocket(): ListeningSocket | undefined {
    return this.#own && { ...this.#own, fd: this.#fd ?? this.#own.fd };
  }

  /** Closes the listener, and resolves when its last connection was passed on. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const acceptors = [this.#acceptor, ...this.#replaced];
    await Promise.all(acceptors.map((acceptor) => acceptor.close()));
  }

  #replaceListener(certificates: Certificates): void {
    const obstacle = certificates.named.size === 0 ? undefined : namesObstacle();
    if (obstacle !== undefined) throw new UpgradeError(`Cannot listen as ${obstacle}`);
    const isWaiting = this.#placeholder !== undefined && this.#fd === undefined;
    const fd = isWaiting ? undefined : this.#fd ?? this.#own?.fd ?? soleListenerAt(this.addr);
    const placeholder = this.#openPlaceholder(this.addr, certificates);
    if (fd !== undefined) {
      this.#fd = acceptBeside(placeholder, fd);
      this.#onMoved(this.#fd);
    }
    this.#retire(this.#acceptor);
    this.#placeholder = placeholder;
    this.#acceptor = new Acceptor(placeholder.listener, this.#events);
    if (!this.#isRef) placeholder.listener.unref();
    if (fd !== undefined) this.#acceptor.start();
  }

  ref(): void {
    this.#isRef = true;
    this.#acceptor.listener.ref();
  }

  unref(): void {
    this.#isRef = false;
    this.#acceptor.listener.unref();
  }

  #retire(acceptor: Acceptor): void {
    this.#replaced.add(acceptor);
    acceptor.close().finally(() => this.#replaced.delete(acceptor));
  }

  #openPlaceholder(
    socket: Addr,
    certificates: Certificates | undefined,
  ): PlaceholderListener<DenoListener> {
    const { tls } = this.#settings;
    const settings = { ...this.#settings, reusePort: false };
    return new PlaceholderListener(
      socket,
      (listen) =>
        this.#open({ ...settings, listen, tls: tls && certificates && { ...tls, certificates } }),
      ({ addr }) => addrOf(addr),
      (listener) => listener.close(),
    );
  }

  /** Opens the listener at the address in the settings, or at `where` instead. */
  #openAt(where: DenoListenOptions | undefined): OpenedListener {
    if (where !== undefined && where.transport !== "tcp") {
      return { listener: listenPlain(where), socket: undefined };
    }
    const settings = this.#settings;
    return openKnown(() => this.#open({ ...settings, listen: where ?? settings.listen }));
  }

  #open(settings: ServeSettings): DenoListener {
    return openListener(settings, () => this.#forgetNames());
  }

  /** Replaces the listener by one with the same certificates, because Deno remembers too many names. */
  #forgetNames(): void {
    const { certificates } = this;
    if (certificates !== undefined && !this.#isClosing) {
      attempt(() => certificates.replace(certificates.current));
    }
  }
}

/** Makes a placeholder accept on the socket of another listener. Closes the placeholder if that fails. */
function acceptBeside(placeholder: PlaceholderListener<DenoListener>, fd: number): number {
  try {
    return placeholder.acceptBeside(fd);
  } catch (error) {
    placeholder.listener.close();
    throw error;
  }
}

/** Opens a listener at the address in the settings. For `onCrowded` see {@linkcode listenOptions}. */
export function openListener(settings: ServeSettings, onCrowded?: () => void): DenoListener {
  const options = listenOptions(settings, onCrowded);
  try {
    const { listen, listenTls } = deno();
    if (settings.tls === undefined || options.transport !== "tcp") return listen(options);
    const { alpnProtocols = HTTP_PROTOCOLS } = settings.tls;
    return listenTls({ ...options, alpnProtocols });
  } catch (error) {
    throw listenError(settings.listen, error);
  }
}

/** Opens a listener on TCP, and finds its socket. */
export function openKnown(open: () => DenoListener): OpenedListener {
  const { made, socket } = openListenerKnown(
    open,
    ({ addr }) => addrOf(addr),
    (listener) => listener.close(),
  );
  return { listener: made, socket };
}

/** Opens a listener without TLS, at an address of any kind. */
export function listenPlain(where: DenoListenOptions): DenoListener {
  try {
    return deno().listen(where);
  } catch (error) {
    if (where.transport !== "tcp" && where.transport !== "unix") throw error;
    throw listenError(where, error);
  }
}
