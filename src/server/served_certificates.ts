import type { Certificates } from "../options/tls.ts";

/** The certificates that a server presents on new connections. */
export class ServedCertificates {
  #current: Certificates;
  readonly #present: (certificates: Certificates) => void;

  /**
   * Takes the certificates that the server presents now, and the function that makes it present others. If
   * the function throws, it must have changed nothing.
   */
  constructor(current: Certificates, present: (certificates: Certificates) => void) {
    this.#current = current;
    this.#present = present;
  }

  get current(): Certificates {
    return this.#current;
  }

  /**
   * Presents other certificates on new connections from now on, and changes no open connection. If this
   * throws, nothing has changed. Must be called only while the server is serving.
   */
  replace(certificates: Certificates): void {
    this.#present(certificates);
    this.#current = certificates;
  }
}
