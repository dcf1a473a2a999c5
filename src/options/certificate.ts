import { createPrivateKey, X509Certificate } from "node:crypto";

/**
 * Refuses a certificate or a key that is none, and a pair that does not belong together: not every
 * runtime does so before the first handshake.
 */
export function checkCertificate({ cert, key }: { cert: string; key: string }): void {
  const certificate = parse("cert", "a certificate in PEM", () => new X509Certificate(cert));
  const privateKey = parse("key", "a private key in PEM", () => createPrivateKey(key));
  if (certificate.checkPrivateKey(privateKey)) return;
  throw new TypeError(
    "Cannot serve as 'key' must be the private key of 'cert': current value is another one",
  );
}

/** The value itself stays out of the message: it may be a secret. */
function parse<T>(option: string, rule: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new TypeError(
      `Cannot serve as '${option}' must be ${rule}: current value cannot be read`,
      { cause },
    );
  }
}
