/** The first message of a TLS handshake, and what a server chooses in its answer. No runtime lets a client choose all of it. */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import type { Addr } from "../../mod.ts";
import { connect } from "../../support/client.ts";

/** Cipher suites of TLS 1.2 for a certificate with an elliptic curve. */
export const AES128 = 0xc02b;
export const AES256 = 0xc02c;
const AES128_OF_13 = 0x1301;

const X25519 = 0x001d;
const P256 = 0x0017;
const ECDSA_SHA256 = 0x0403;

const HANDSHAKE = 22;
const TLS_1_2 = 0x0303;
const TLS_1_3 = 0x0304;
const SUPPORTED_VERSIONS = 43;

/** What a client offers. */
export interface Offer {
  readonly ciphers?: readonly number[];
  /** Whether the client speaks TLS 1.3 as well. */
  readonly speaks13?: boolean;
}

const uint16 = (...values: readonly number[]) =>
  Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));
const vector8 = (bytes: Uint8Array) => Buffer.concat([Buffer.of(bytes.length), bytes]);
const vector16 = (bytes: Uint8Array) => Buffer.concat([uint16(bytes.length), bytes]);
const extension = (type: number, bytes: Uint8Array) =>
  Buffer.concat([uint16(type), vector16(bytes)]);

function clientHello({ ciphers = [AES128, AES256], speaks13 = false }: Offer): Buffer {
  const extensions = [
    extension(10, vector16(uint16(X25519, P256))),
    extension(11, vector8(Buffer.of(0))),
    extension(13, vector16(uint16(ECDSA_SHA256))),
    extension(23, Buffer.alloc(0)),
  ];
  if (speaks13) {
    extensions.push(
      extension(SUPPORTED_VERSIONS, vector8(uint16(TLS_1_3, TLS_1_2))),
      extension(51, vector16(Buffer.concat([uint16(X25519), vector16(randomBytes(32))]))),
    );
  }
  const body = Buffer.concat([
    uint16(TLS_1_2),
    randomBytes(32),
    vector8(Buffer.alloc(0)),
    vector16(uint16(...(speaks13 ? [AES128_OF_13] : []), ...ciphers)),
    vector8(Buffer.of(0)),
    vector16(Buffer.concat(extensions)),
  ]);
  const message = Buffer.concat([Buffer.of(1, 0), uint16(body.length), body]);
  return Buffer.concat([Buffer.of(HANDSHAKE), uint16(0x0301), vector16(message)]);
}

/** Returns the version and the cipher suite that a server chooses, or "refused". */
export async function chosenBy(
  addr: Addr,
  offer: Offer = {},
): Promise<{ version: number; cipher: number } | "refused"> {
  const client = await connect(addr);
  client.socket.write(clientHello(offer));
  // A record with its header and the first bytes of a ServerHello, or of an alert.
  const first = client.take(/^[^]{7,}/).catch(() => "");
  const answer = Buffer.from(await first, "latin1");
  client.vanish();
  if (answer[0] !== HANDSHAKE) return "refused";
  // The header of the record, that of the message, the version, the random bytes, and the session.
  const session = 5 + 4 + 2 + 32;
  const cipher = answer.readUInt16BE(session + 1 + answer[session]!);
  return { version: cipher === AES128_OF_13 ? TLS_1_3 : TLS_1_2, cipher };
}
