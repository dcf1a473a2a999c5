import { Buffer } from "node:buffer";
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import {
  authoritiesOf,
  type Certificate,
  type CertificateOptions,
  type Certificates,
  type TlsOptions,
  type TlsSettings,
} from "./tls.ts";

/** Matches the header of an encrypted key in PEM: in PKCS #8, or in one of the older formats. */
const ENCRYPTED = /^-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: *4, *ENCRYPTED/m;

/** Matches each certificate in a PEM text. */
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g;

/** Matches the first private key in a PEM text. */
const PRIVATE_KEY = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[^]*?-----END \1-----/;

/** The least number of bits of an RSA key that the TLS of every runtime takes. */
const MIN_RSA_BITS = 2_048;

/** The curves of keys that the TLS of every runtime and its usual clients take. */
const CURVES: readonly unknown[] = ["prime256v1", "secp384r1", "secp521r1"];

/**
 * Returns the settings of TLS for checked options, with all defaults.
 *
 * @throws {TypeError} If a certificate or a key cannot be read, or they do not belong together. Not every
 * runtime checks this before the first handshake.
 */
export function tlsSettings(
  as: (name: string) => string,
  options: TlsOptions & CertificateOptions & { alpnProtocols?: readonly string[] },
): TlsSettings {
  const { requestCert, rejectUnauthorized = true, minVersion = "TLSv1.2" } = options;
  return {
    certificates: readCertificates(as, options),
    ca: requestCert ? authorities(as("ca"), options.ca) : undefined,
    rejectUnauthorized,
    minVersion,
    alpnProtocols: options.alpnProtocols,
  };
}

/**
 * Returns the certificates of checked options, with their keys decrypted: not every runtime decrypts keys.
 * Without the option `certificates`, the result has the named certificates of `current`.
 *
 * @throws {TypeError} If a certificate or a key cannot be read, or they do not belong together.
 */
export function readCertificates(
  as: (name: string) => string,
  options: CertificateOptions,
  current?: Certificates,
): Certificates {
  const standard = readCertificate(as, options);
  if (options.certificates === undefined) {
    return { standard, named: current?.named ?? new Map() };
  }
  const named = options.certificates.map(({ serverName, ...certificate }, index) => {
    const asNamed = (name: string) => as(`certificates[${index}].${name}`);
    return [serverName.toLowerCase(), readCertificate(asNamed, certificate)] as const;
  });
  return { standard, named: new Map(named) };
}

function readCertificate(
  as: (name: string) => string,
  { cert, key, passphrase }: CertificateOptions,
): Certificate {
  // A file may hold both, and other parts: not every runtime skips what it does not look for.
  const certPem = textOf(cert).match(CERTIFICATE)?.join("\n") ?? textOf(cert);
  const keyPem = PRIVATE_KEY.exec(textOf(key))?.[0] ?? textOf(key);
  const certificate = parse(
    as("cert"),
    "a certificate in PEM",
    () => new X509Certificate(certPem),
    problemOf(certPem),
  );
  const isEncrypted = ENCRYPTED.test(keyPem);
  const privateKey = isEncrypted ? decrypt(as, keyPem, passphrase) : parse(
    as("key"),
    "a private key in PEM",
    () => createPrivateKey(keyPem),
    problemOf(keyPem),
  );
  checkStrength(as("key"), privateKey);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new TypeError(
      `Cannot ${
        as("key")
      } must be the private key of 'cert': current value is the key of another certificate`,
    );
  }
  return { cert: certPem, key: isEncrypted ? decrypted(privateKey) : keyPem };
}

/** Throws for a key that the TLS of a runtime refuses, some only at the first handshake. */
function checkStrength(what: string, key: KeyObject): void {
  const { modulusLength = MIN_RSA_BITS, namedCurve = CURVES[0] } = key.asymmetricKeyDetails ?? {};
  if (modulusLength >= MIN_RSA_BITS && CURVES.includes(namedCurve)) return;
  const is = modulusLength < MIN_RSA_BITS
    ? `has ${modulusLength} bits`
    : `is of the curve ${namedCurve}`;
  throw new TypeError(
    `Cannot ${what} must be an RSA key of ${MIN_RSA_BITS} bits or more, or a key of the curves P-256, P-384, P-521 ` +
      `or Ed25519: current value ${is}`,
  );
}

function decrypt(
  as: (name: string) => string,
  key: string,
  passphrase: string | undefined,
): KeyObject {
  if (passphrase === undefined) {
    throw new TypeError(
      `Cannot ${
        as("passphrase")
      } must be given where 'key' is encrypted: current value is undefined`,
    );
  }
  return parse(
    as("passphrase"),
    "the passphrase with which 'key' was encrypted",
    () => createPrivateKey({ key, passphrase }),
    "does not decrypt it",
  );
}

function decrypted(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

/** Returns each certificate of the option `ca` as a text of its own: a file often holds several. */
function authorities(what: string, ca: TlsOptions["ca"]): string[] {
  return authoritiesOf(ca).flatMap((pem) => {
    const found = textOf(pem).match(CERTIFICATE) ?? [""];
    for (const one of found) {
      parse(what, "certificates in PEM", () => new X509Certificate(one), problemOf(textOf(pem)));
    }
    return found;
  });
}

function textOf(pem: string | Uint8Array): string {
  return typeof pem === "string" ? pem : Buffer.from(pem).toString();
}

/** Returns what is wrong with a value that cannot be read as PEM. Does not print the value, which may be a secret. */
function problemOf(text: string): string {
  return /^[^\n]{1,300}$/.test(text) && !text.includes("-----BEGIN")
    ? "looks like a path: give the content of the file"
    : "cannot be read";
}

/**
 * Returns what `read` returns. If `read` throws, throws a TypeError without the value of the option, which
 * may be a secret.
 */
function parse<T>(what: string, rule: string, read: () => T, problem: string): T {
  try {
    return read();
  } catch (cause) {
    throw new TypeError(`Cannot ${what} must be ${rule}: current value ${problem}`, { cause });
  }
}
