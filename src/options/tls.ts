import { checkText, checkType, refuse } from "./checks.ts";
import { checkNames, type OptionNames } from "./names.ts";

/** A certificate for one server name, among the options {@linkcode CertificateOptions.certificates}. */
export interface NamedCertificate {
  /**
   * The name that clients ask for (SNI), such as `api.example.com`. `*.example.com` stands for every name
   * with exactly one label in the place of the star. An exact name takes precedence over a name with a
   * star.
   */
  serverName: string;
  /** The certificate chain in PEM. */
  cert: string | Uint8Array;
  /** The private key in PEM. */
  key: string | Uint8Array;
  /** The passphrase of an encrypted `key`. */
  passphrase?: string;
}

/** The certificates of a server, which `setCertificate` of a {@linkcode Server} can replace. */
export interface CertificateOptions {
  /** The certificate chain in PEM. */
  cert: string | Uint8Array;
  /** The private key in PEM, which must belong to `cert`. */
  key: string | Uint8Array;
  /** The passphrase of an encrypted `key`. */
  passphrase?: string;
  /**
   * The certificates for single server names. Clients that ask for another name, or for none, get `cert`.
   * On Deno the engine `"deno"` needs `--allow-ffi` for this option: without it, `"auto"` chooses `"node"`.
   */
  certificates?: readonly NamedCertificate[];
}

/** The options of TLS that {@linkcode serve} and {@linkcode serveTcp} have in common. */
export interface TlsOptions extends Partial<CertificateOptions> {
  /** The certificate chain in PEM. This option turns on TLS, and needs `key`. */
  cert?: string | Uint8Array;
  /** The private key in PEM. This option needs `cert`. */
  key?: string | Uint8Array;
  /** The certificates of the authorities that issue client certificates, in PEM. This option needs `requestCert`. */
  ca?: string | Uint8Array | readonly (string | Uint8Array)[];
  /**
   * Whether to ask clients for a certificate, which handlers find in `peerCertificate`. This option needs
   * `ca`. With it `"auto"` chooses the engine `"node"`, since no other engine shows the certificate.
   *
   * @default {false}
   */
  requestCert?: boolean;
  /**
   * Whether to refuse clients without a certificate that `ca` has issued. With `false`, handlers decide by
   * `peerCertificate` and its `authorized`. This option needs `requestCert`.
   *
   * @default {true}
   */
  rejectUnauthorized?: boolean;
  /**
   * The lowest version of TLS that the server accepts. On Deno `"TLSv1.3"` needs the engine `"node"`, which
   * `"auto"` then chooses.
   *
   * @default {"TLSv1.2"}
   */
  minVersion?: "TLSv1.2" | "TLSv1.3";
}

/** A certificate chain and its private key, which is not encrypted, in PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** The certificates of a server. */
export interface Certificates {
  /** The certificate for clients that ask for no name, or for a name without a certificate. */
  readonly standard: Certificate;
  /** The named certificates, by server name in lower case. A name may begin with `*.`. */
  readonly named: ReadonlyMap<string, Certificate>;
}

/** The settings of TLS that a driver gets from checked {@linkcode TlsOptions}. */
export interface TlsSettings {
  readonly certificates: Certificates;
  /** The authorities that issue client certificates, in PEM. Undefined if clients are asked for none. */
  readonly ca: readonly string[] | undefined;
  readonly rejectUnauthorized: boolean;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  /** The protocols that clients can choose from by ALPN. Undefined if the options do not say. */
  readonly alpnProtocols: readonly string[] | undefined;
}

/**
 * Returns the certificate for the server name that a client asks for. The name is in lower case, and empty if
 * the client asks for none.
 */
export function certificateFor({ standard, named }: Certificates, serverName: string): Certificate {
  const parent = serverName.replace(/^[^.]*/, "*");
  return named.get(serverName) ?? named.get(parent) ?? standard;
}

const CERTIFICATE_NAMES: OptionNames<CertificateOptions> = {
  cert: true,
  key: true,
  passphrase: true,
  certificates: true,
};

/** The names of the options of TLS. */
export const TLS_NAMES: OptionNames<TlsOptions> = {
  ...CERTIFICATE_NAMES,
  ca: true,
  requestCert: true,
  rejectUnauthorized: true,
  minVersion: true,
};

const NAMED_NAMES: OptionNames<NamedCertificate> = {
  serverName: true,
  cert: true,
  key: true,
  passphrase: true,
};

/** The options that mean nothing without a certificate. */
const OF_TLS = [
  "passphrase",
  "certificates",
  "ca",
  "requestCert",
  "rejectUnauthorized",
  "minVersion",
  "alpnProtocols",
] as const;

/** The versions of TLS that all runtimes speak. */
const VERSIONS: readonly unknown[] = ["TLSv1.2", "TLSv1.3"];

/** Matches a DNS name, which may follow `*.`. */
const SERVER_NAME =
  /^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/i;

const IPV4 = /^\d+(\.\d+){3}$/;

/** Throws for options of TLS that have the wrong type or contradict each other. Does not read any PEM. */
export function checkTls(
  as: (name: string) => string,
  options: TlsOptions & { alpnProtocols?: readonly string[] },
): void {
  for (const name of ["cert", "key"] as const) checkPem(as(name), options[name]);
  if ((options.cert === undefined) !== (options.key === undefined)) {
    const missing = options.cert === undefined ? "cert" : "key";
    refuse(
      as(missing),
      "given together with the other one of 'cert' and 'key', both in PEM",
      undefined,
    );
  }
  if (options.cert === undefined) {
    const without = OF_TLS.find((name) => options[name] !== undefined);
    if (without !== undefined) refuseGiven(as(without), "given together with 'cert' and 'key'");
    return;
  }
  checkCertificates(as, options);
  checkClients(as, options);
  if (options.minVersion !== undefined && !VERSIONS.includes(options.minVersion)) {
    refuse(as("minVersion"), `one of ${VERSIONS.join(", ")}`, options.minVersion);
  }
  checkAlpn(as("alpnProtocols"), options.alpnProtocols);
}

/** Throws for options of `setCertificate` that do not exist or have the wrong type. Does not read any PEM. */
export function checkSetCertificate(options: CertificateOptions): void {
  checkNames("set the certificate", options, CERTIFICATE_NAMES);
  checkCertificates((name) => `set the certificate as '${name}'`, options);
}

function checkCertificates(
  as: (name: string) => string,
  options: Partial<CertificateOptions>,
): void {
  for (const name of ["cert", "key"] as const) {
    if (options[name] === undefined) refuse(as(name), "in PEM", undefined);
    checkPem(as(name), options[name]);
  }
  checkPassphrase(as("passphrase"), options.passphrase);
  const { certificates } = options;
  if (certificates === undefined) return;
  if (!Array.isArray(certificates)) refuseGiven(as("certificates"), "an array");
  const names = new Set<string>();
  for (const [index, certificate] of certificates.entries()) {
    const asNamed = (name: string) => as(`certificates[${index}].${name}`);
    checkNames(as(`certificates[${index}]`), certificate, NAMED_NAMES);
    const { serverName, cert, key, passphrase } = certificate;
    checkServerName(asNamed("serverName"), serverName, names);
    for (const [name, value] of Object.entries({ cert, key })) {
      if (value === undefined) refuse(asNamed(name), "in PEM", undefined);
      checkPem(asNamed(name), value);
    }
    checkPassphrase(asNamed("passphrase"), passphrase);
  }
}

function checkServerName(what: string, serverName: unknown, names: Set<string>): void {
  if (typeof serverName !== "string" || !SERVER_NAME.test(serverName)) {
    refuse(what, "a DNS name, or '*.' and a DNS name", serverName);
  }
  if (IPV4.test(serverName)) {
    refuse(
      what,
      "a DNS name, since clients that connect to an IP address send no server name",
      serverName,
    );
  }
  const name = serverName.toLowerCase();
  if (names.has(name)) {
    refuse(what, "different from the server names of the other certificates", serverName);
  }
  names.add(name);
}

function checkClients(
  as: (name: string) => string,
  { ca, requestCert, rejectUnauthorized }: TlsOptions,
): void {
  checkType(as("requestCert"), requestCert, "boolean");
  checkType(as("rejectUnauthorized"), rejectUnauthorized, "boolean");
  if (requestCert === true && ca === undefined) {
    refuse(as("ca"), "given together with 'requestCert'", undefined);
  }
  if (requestCert !== true) {
    // Without this error the caller might believe that the server checks its clients.
    if (ca !== undefined) refuseGiven(as("ca"), "absent where 'requestCert' is not true");
    if (rejectUnauthorized !== undefined) {
      refuse(
        as("rejectUnauthorized"),
        "absent where 'requestCert' is not true",
        rejectUnauthorized,
      );
    }
  }
  if (Array.isArray(ca) && ca.length === 0) refuseGiven(as("ca"), "one certificate or more");
  for (const pem of authoritiesOf(ca)) checkPem(as("ca"), pem);
}

/** Returns the values of the option `ca` as a list. */
export function authoritiesOf(ca: TlsOptions["ca"]): readonly (string | Uint8Array)[] {
  if (ca === undefined) return [];
  // The cast: `Array.isArray` does not narrow a readonly array.
  return Array.isArray(ca) ? ca : [ca as string | Uint8Array];
}

function checkAlpn(what: string, protocols: unknown): void {
  if (protocols === undefined) return;
  const isList = Array.isArray(protocols) && protocols.length > 0 &&
    new Set(protocols).size === protocols.length;
  if (!isList) refuse(what, "an array of different protocols", protocols);
  for (const protocol of protocols) checkText(what, protocol);
}

/** Throws unless a value is undefined, or text or bytes that are not empty. Does not print the value. */
function checkPem(what: string, value: unknown): void {
  if (value === undefined) return;
  if (typeof value !== "string" && !(value instanceof Uint8Array)) {
    refuseGiven(what, "PEM, a string or a Uint8Array");
  }
  if (value.length === 0) refuse(what, "a string that is not empty", "");
}

function checkPassphrase(what: string, value: unknown): void {
  if (value === undefined) return;
  if (typeof value !== "string" || value === "") {
    refuseGiven(what, "a string that is not empty");
  }
}

/** Throws a TypeError that does not print the value, which may be a secret or long. */
function refuseGiven(what: string, rule: string): never {
  throw new TypeError(`Cannot ${what} must be ${rule}: current value breaks that rule`);
}
