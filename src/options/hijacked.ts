import { checkMilliseconds, checkType, refuse } from "./checks.ts";

/** The close code "going away" (RFC 6455, 7.4.1), which means that the server ends. */
const GOING_AWAY = 1001;
/** The close code "service restart" (IANA's registry of RFC 6455), which asks clients to connect again. */
const SERVICE_RESTART = 1012;

/** The largest length of the reason in a close frame, in bytes (RFC 6455, 5.5). */
const MAX_REASON = 123;

/** How a shutdown closes the WebSockets of a server. */
export interface WebSocketClosing {
  /**
   * The code in the close frame: 1000, 1001, 1003, 1007 to 1014, or 3000 to 4999, whose meaning the
   * application defines. The default is 1001, "going away"; in `graceful` it is 1012, "service restart",
   * when a successor has taken over.
   */
  close?: number;
  /**
   * The reason in the close frame, at most 123 bytes of UTF-8.
   *
   * @default {""}
   */
  reason?: string;
  /**
   * The number of milliseconds that a WebSocket may take to end once its close frame was sent, 0 to
   * 2 147 483 647. The connection is then cut off, and counts as `forced` in the report of its server. There
   * is no default: without `within` the shutdown waits until its own deadline.
   */
  within?: number;
}

/** The close frame of all WebSockets of a server, and the time in ms that each WebSocket has to end after it. */
export interface ClosingHandshake {
  readonly code: number;
  readonly reason: string;
  readonly within: number | undefined;
}

const NAMES: readonly string[] = ["close", "reason", "within"] satisfies (keyof WebSocketClosing)[];

/**
 * Throws unless `value` is valid for the option `hijacked`. `as` returns the beginning of the error message
 * for the name of an option.
 */
export function checkHijacked(as: (name: string) => string, value: unknown): void {
  if (value === undefined || value === "wait" || value === "ignore") return;
  if (!isClosing(value)) {
    refuse(
      as("hijacked"),
      '"wait" or "ignore", or an object of close, reason and within',
      typeof value === "object" && value !== null ? `{ ${Object.keys(value).join(", ")} }` : value,
    );
  }
  checkCode(as("hijacked.close"), value.close);
  checkReason(as("hijacked.reason"), value.reason);
  checkMilliseconds(as("hijacked.within"), value.within, 0);
}

function isClosing(value: unknown): value is Record<keyof WebSocketClosing, unknown> {
  return typeof value === "object" && value !== null &&
    Object.keys(value).every((name) => NAMES.includes(name));
}

/** Throws unless `code` is undefined or a code that the application of a server may send (RFC 6455, 7.4). */
function checkCode(what: string, code: unknown): void {
  if (code === undefined) return;
  if (typeof code !== "number") refuse(what, "a number", code);
  const isSendable = Number.isInteger(code) &&
    (code === 1000 || code === 1001 || code === 1003 ||
      (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999));
  if (isSendable) return;
  throw new RangeError(
    `Cannot ${what} must be 1000, 1001, 1003, from 1007 to 1014, or from 3000 to 4999: current value is ` +
      code,
  );
}

function checkReason(what: string, reason: unknown): void {
  checkType(what, reason, "string");
  // The cast: the check has passed.
  const size = new TextEncoder().encode((reason ?? "") as string).length;
  if (size <= MAX_REASON) return;
  throw new RangeError(
    `Cannot ${what} must have at most ${MAX_REASON} bytes of UTF-8: current value has ${size}`,
  );
}

/** Returns the closing handshake that a checked option asks for. */
export function closingHandshake(
  hijacked: "wait" | "ignore" | WebSocketClosing | undefined,
  isRestart: boolean,
): ClosingHandshake {
  const asked = typeof hijacked === "object" ? hijacked : {};
  const { close = isRestart ? SERVICE_RESTART : GOING_AWAY, reason = "", within } = asked;
  return { code: close, reason, within };
}
