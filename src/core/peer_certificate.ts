/**
 * The certificate that a client has presented, see `requestCert` of the options.
 *
 * @example
 * ```ts
 * import type { ServeInfo } from "@x/graceful";
 *
 * export function whoAmI(_request: Request, { peerCertificate }: ServeInfo): Response {
 *   return new Response(String(peerCertificate?.subject.CN ?? "nobody"));
 * }
 * ```
 */
export interface PeerCertificate {
  /**
   * Whether an authority of the option `ca` has issued the certificate. Always true unless
   * `rejectUnauthorized` is false.
   */
  readonly authorized: boolean;
  /** The attributes of the subject, such as `CN` and `O`. An attribute that occurs several times is a list. */
  readonly subject: Readonly<Record<string, string | readonly string[]>>;
  /** The attributes of the issuer. */
  readonly issuer: Readonly<Record<string, string | readonly string[]>>;
  /** The further names of the subject, such as `"DNS:client, URI:spiffe://example/a"`. */
  readonly subjectAltName: string | undefined;
  /** The serial number in hexadecimal digits. */
  readonly serialNumber: string;
  /** The SHA-256 digest of the certificate, as pairs of hexadecimal digits between colons. */
  readonly fingerprint256: string;
  /** The time from which the certificate is valid. */
  readonly validFrom: Date;
  /** The time until which the certificate is valid. */
  readonly validTo: Date;
  /** The certificate in DER. */
  readonly raw: Uint8Array;
}
