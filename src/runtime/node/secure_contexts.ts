/** The certificates of servers of `node:tls`, and of `node:https` and `node:http2`, which are built on it. */
import tls from "node:tls";
import {
  type Certificate,
  certificateFor,
  type Certificates,
  type TlsSettings,
} from "../../options/tls.ts";

/** The contexts that Node makes of the certificates of one server. */
export class SecureContexts {
  /** The options to create the server with, among them the native ones. */
  readonly options: tls.TlsOptions;
  readonly #settings: TlsSettings;
  readonly #native: tls.SecureContextOptions;
  #certificates: Certificates;
  /** The contexts of the certificates for single names. */
  #named: ReadonlyMap<Certificate, tls.SecureContext>;

  /** `native` are options of Node's own server, among them those of a context. */
  constructor(settings: TlsSettings, native: tls.SecureContextOptions) {
    const { certificates, ca, rejectUnauthorized } = settings;
    this.#settings = settings;
    this.#native = native;
    this.#certificates = certificates;
    this.#named = this.#contextsOf(certificates);
    this.options = {
      ...this.#contextOptions(certificates.standard),
      requestCert: ca !== undefined,
      rejectUnauthorized: ca !== undefined && rejectUnauthorized,
      SNICallback: (serverName, callback) => {
        const certificate = certificateFor(this.#certificates, serverName.toLowerCase());
        // Without a context, Node takes the one of the server.
        callback(null, this.#named.get(certificate));
      },
    };
  }

  /** Makes the server that was created with the options present other certificates on new connections. */
  present(server: tls.Server, certificates: Certificates): void {
    const named = this.#contextsOf(certificates);
    // If this throws, the server keeps its context.
    server.setSecureContext(this.#contextOptions(certificates.standard));
    this.#certificates = certificates;
    this.#named = named;
  }

  #contextsOf({ named }: Certificates): Map<Certificate, tls.SecureContext> {
    return new Map(
      [...named.values()].map((certificate) =>
        [certificate, tls.createSecureContext(this.#contextOptions(certificate))] as const
      ),
    );
  }

  #contextOptions({ cert, key }: Certificate): tls.SecureContextOptions {
    const { ca, minVersion } = this.#settings;
    return {
      ...this.#native,
      cert,
      key,
      ...(minVersion === "TLSv1.3" ? { minVersion } : {}),
      ...(ca === undefined ? {} : { ca: [...ca] }),
    };
  }
}
