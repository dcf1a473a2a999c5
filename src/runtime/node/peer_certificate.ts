import type net from "node:net";
import type tls from "node:tls";
import type { PeerCertificate } from "../../core/peer_certificate.ts";

/** The certificates that handlers have asked for, by socket. */
const known = new WeakMap<net.Socket, PeerCertificate>();

/**
 * Returns the certificate of the client of a TLS socket, or undefined if it has sent none or has left. The
 * certificate is read once for all requests of a connection.
 */
export function peerCertificateOf(socket: net.Socket): PeerCertificate | undefined {
  const found = known.get(socket) ?? read(socket);
  if (found !== undefined) known.set(socket, found);
  return found;
}

function read(socket: net.Socket): PeerCertificate | undefined {
  if (!("getPeerCertificate" in socket) || socket.destroyed) return undefined;
  // The cast: only TLS sockets have the method.
  const tlsSocket = socket as tls.TLSSocket;
  // Without a certificate, Node returns an empty object, or null.
  const certificate: Partial<tls.PeerCertificate> = tlsSocket.getPeerCertificate() ?? {};
  const { subject, issuer, serialNumber, fingerprint256, raw } = certificate;
  const isComplete = subject && issuer && serialNumber !== undefined &&
    fingerprint256 !== undefined && raw !== undefined;
  if (!isComplete) return undefined;
  return {
    authorized: tlsSocket.authorized,
    subject: attributesOf(subject),
    issuer: attributesOf(issuer),
    // Deno reports a certificate without names as an empty text.
    subjectAltName: certificate.subjectaltname || undefined,
    // Deno omits a leading zero.
    serialNumber: serialNumber.padStart(serialNumber.length + serialNumber.length % 2, "0"),
    fingerprint256,
    validFrom: new Date(certificate.valid_from ?? NaN),
    validTo: new Date(certificate.valid_to ?? NaN),
    raw: new Uint8Array(raw),
  };
}

function attributesOf(name: tls.Certificate): PeerCertificate["subject"] {
  // The cast: an attribute that occurs several times is an array, which the types do not say.
  return { ...name } as unknown as PeerCertificate["subject"];
}
