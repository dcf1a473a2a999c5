import process from "node:process";
import type tls from "node:tls";

/** The number of client certificates that are remembered: more than the sessions that Deno can resume. */
const REMEMBERED = 4_096;

/**
 * Makes a server of `node:tls` judge the client of a resumed session as it was judged in its full handshake.
 * Node and Bun do that themselves. Deno calls every client of a resumed session authorized, even one whose
 * certificate is from nobody that the server trusts, and even one that has presented none to another server
 * of the process, whose sessions Deno resumes as well. Must be called for a server that asks for client
 * certificates, and before others listen for its connections.
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
