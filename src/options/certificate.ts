import { createPrivateKey, X509Certificate } from "node:crypto";

/**
 * Throws a TypeError unless `cert` and `key` can be read and belong together. Not every runtime checks this
 * before the first handshake.
 */
export function checkCertificate({ cert, key }: { cert: string; key: string }): void {
  const certificate = parse("cert", "a certificate in PEM", () => new X509Certificate(cert));
  const privateKey = parse("key", "a private key in PEM", () => createPrivateKey(key));
  if (certificate.checkPrivateKey(privateKey)) return;
  throw new TypeError(
    "Cannot serve as 'key' must be the private key of 'cert': current value is another one",
  );
}

/**
 * Returns what `read` returns. If `read` throws, throws a TypeError without the value of the option, which
 * may be a secret.
 */
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
