/** The certificates of servers of `node:tls`, and of `node:https` and `node:http2`, which are built on it. */
import tls from "node:tls";
import {
  type Certificate,
  certificateFor,
  type Certificates,
  type TlsSettings,
} from "../../options/tls.ts";

/** The secure contexts of one server, which Node creates from its certificates. */
export class SecureContexts {
  /** The options to create the server with, among them the native ones. */
  readonly options: tls.TlsOptions;
  readonly #settings: TlsSettings;
  readonly #native: tls.SecureContextOptions;
  #certificates: Certificates;
  /** The contexts of the certificates for single names. */
  #named: ReadonlyMap<Certificate, tls.SecureContext>;

  /** Creates the contexts. `native` are options of Node's own server, which include options of a context. */
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
        // Without a context here, Node uses the context of the server.
        callback(null, this.#named.get(certificate));
      },
    };
  }

  /**
   * Makes a server that was created with {@linkcode SecureContexts.options} present other certificates on new
   * connections.
   */
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
