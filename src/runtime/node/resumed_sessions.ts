import process from "node:process";
import type tls from "node:tls";

/**
 * The number of client certificates that are remembered. It is higher than the number of sessions that Deno
 * can resume.
 */
const REMEMBERED = 4_096;

/**
 * Makes a server of `node:tls` treat the client of a resumed session as it was treated in the full
 * handshake. Node and Bun do that themselves. On Deno every client of a resumed session counts as
 * authorized, even if the server does not trust its certificate, and even if the session comes from another
 * server of the process to which the client has presented no certificate. Must be called for a server that
 * asks for client certificates, before other listeners for its connections are added.
 */
export function checkResumedSessions(server: tls.Server, rejectUnauthorized: boolean): void {
  if (!("deno" in process.versions)) return;
  const verified = new VerifiedCertificates();
  server.prependListener("secureConnection", (socket: tls.TLSSocket) => {
    const { fingerprint256 } = socket.getPeerCertificate() ?? {};
    const isVerified = fingerprint256 !== undefined && socket.authorized &&
      (!socket.isSessionReused() || verified.has(fingerprint256));
    if (isVerified) verified.add(fingerprint256);
    else if (rejectUnauthorized) socket.destroy();
    else socket.authorized = false;
  });
}

/** The certificates of the clients that were authorized last, by their fingerprints. */
class VerifiedCertificates {
  readonly #fingerprints = new Set<string>();

  has(fingerprint: string): boolean {
    return this.#fingerprints.has(fingerprint);
  }

  /** Adds a certificate as the newest one, and forgets the oldest one if there are too many. */
  add(fingerprint: string): void {
    this.#fingerprints.delete(fingerprint);
    this.#fingerprints.add(fingerprint);
    const [oldest] = this.#fingerprints;
    if (this.#fingerprints.size > REMEMBERED && oldest !== undefined) {
      this.#fingerprints.delete(oldest);
    }
  }
}
