/**
 * Checks of the values in the options `node` and `bun` that the runtime itself would not check before the server
 * listens. It would replace such a value, or fail with the first client.
 */
import { checkInteger, checkMilliseconds, checkObject, checkType, refuse } from "./checks.ts";

const UINT_32 = 2 ** 32 - 1;

const TIMES = [
  "connectionsCheckingInterval",
  "handshakeTimeout",
  "headersTimeout",
  "keepAliveInitialDelay",
  "keepAliveTimeout",
  "keepAliveTimeoutBuffer",
  "requestTimeout",
];

const BOOLEANS = ["insecureHTTPParser", "joinDuplicateHeaders", "requireHostHeader"];

/** The settings of HTTP/2 that are numbers, with their least and their largest value (RFC 9113, section 6.5.2). */
const SETTINGS: Readonly<Record<string, readonly [min: number, max: number]>> = {
  headerTableSize: [0, UINT_32],
  initialWindowSize: [0, 2 ** 31 - 1],
  maxConcurrentStreams: [0, UINT_32],
  maxFrameSize: [2 ** 14, 2 ** 24 - 1],
  maxHeaderListSize: [0, UINT_32],
  maxHeaderSize: [0, UINT_32],
};

/** The versions of TLS from the oldest to the newest. */
const VERSIONS: readonly unknown[] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/** Throws for invalid values in the option `node`. `minVersion` is the option of `serve`. */
export function checkNodeValues(block: object = {}, minVersion: string | undefined): void {
  const as = (name: string) => `serve as 'node.${name}'`;
  // The cast: any object has properties.
  const node = block as Readonly<Record<string, unknown>>;
  for (const name of TIMES) checkMilliseconds(as(name), node[name], 0);
  for (const name of BOOLEANS) checkType(as(name), node[name], "boolean");
  checkInteger(as("maxHeaderSize"), node["maxHeaderSize"], 0, Number.MAX_SAFE_INTEGER);
  checkRequestTimeout(as("headersTimeout"), node);
  checkSettings(as, node["settings"]);
  checkMaxVersion(as("maxVersion"), node, minVersion);
}

/** Throws if `headersTimeout` is longer than `requestTimeout`, which Node refuses. 0 means no limit. */
function checkRequestTimeout(
  what: string,
  { headersTimeout, requestTimeout }: Readonly<Record<string, unknown>>,
): void {
  if (!headersTimeout || !requestTimeout || headersTimeout <= requestTimeout) return;
  refuse(what, `at most 'node.requestTimeout', ${requestTimeout} ms`, headersTimeout);
}

function checkSettings(as: (name: string) => string, settings: unknown): void {
  if (settings === undefined) return;
  checkObject(as("settings"), settings);
  for (const [name, value] of Object.entries(settings)) {
    const [min, max] = SETTINGS[name] ?? [];
    if (min !== undefined && max !== undefined) {
      checkInteger(as(`settings.${name}`), value, min, max);
    }
  }
  const { enablePush, enableConnectProtocol } = settings as Readonly<Record<string, unknown>>;
  checkType(as("settings.enablePush"), enablePush, "boolean");
  checkType(as("settings.enableConnectProtocol"), enableConnectProtocol, "boolean");
}

/** Throws if `maxVersion` of `node` is an older version of TLS than the oldest version allowed. */
function checkMaxVersion(
  what: string,
  { maxVersion, minVersion: oldest }: Readonly<Record<string, unknown>>,
  minVersion: unknown,
): void {
  const least = minVersion ?? oldest ?? "TLSv1.2";
  const [newest, limit] = [VERSIONS.indexOf(maxVersion), VERSIONS.indexOf(least)];
  if (newest >= 0 && newest < limit) refuse(what, `at least 'minVersion', ${least}`, maxVersion);
}

/** Throws for invalid values in the option `bun`. */
export function checkBunValues(block: object = {}): void {
  // The cast: any object has properties.
  const { routes } = block as { readonly routes?: unknown };
  if (routes !== undefined) checkObject("serve as 'bun.routes'", routes);
}
