import type { RequestInFlight } from "../core/conn.ts";
import type { PeerCertificate } from "../core/peer_certificate.ts";
import { checkPromise } from "../options/checks.ts";
import type { Addr } from "../core/addr.ts";
import type { ServeInfo } from "../options/serve.ts";
import type { RequestScope } from "../core/request_scope.ts";

/** The part of {@linkcode ServeInfo} that is the same on every engine. It costs nothing until it is read. */
export abstract class RequestInfo implements ServeInfo {
  abstract readonly remoteAddr: Addr;
  abstract readonly native: unknown;
  readonly #scope: RequestScope;
  #draining: AbortSignal | undefined;

  constructor(scope: RequestScope) {
    this.#scope = scope;
  }

  get draining(): AbortSignal {
    this.#draining ??= this.#scope.drainNotice.signalFor((release) => this.onEnd(release));
    return this.#draining;
  }

  /** The certificate of the client. Undefined here: engines that cannot show it refuse the option `requestCert`. */
  get peerCertificate(): PeerCertificate | undefined {
    return undefined;
  }

  /** Returns a new function at each read. The function also works when taken out of the object. */
  get waitUntil(): (promise: PromiseLike<unknown>) => void {
    return (promise) => {
      checkPromise("wait as 'promise'", promise);
      const request = this.inFlight();
      this.#scope.pendingWork.add(promise, { remoteAddr: this.remoteAddr, request });
    };
  }

  /** Registers a function to call when the response is delivered or the client is gone. */
  protected abstract onEnd(release: () => void): void;

  protected abstract inFlight(): RequestInFlight;
}
