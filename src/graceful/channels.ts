import type { ShutdownChannels } from "../server/shutdown_channels.ts";
import type { GracefulEvent } from "./events.ts";

/**
 * The channels of `node:diagnostics_channel` on which this package publishes, with the types of their messages.
 * The events of {@linkcode graceful} are published whatever its option `log` is, each on the channel of its
 * type; {@linkcode GracefulEvent} describes them.
 *
 * The names do not depend on the scope under which the package is published. Messages are published in the
 * thread in which the event happens. A subscriber is called synchronously, so that it gets the last event of
 * the process as well. An error of a subscriber is reported on the console and stops nothing.
 *
 * @example
 * ```ts
 * import { subscribe } from "node:diagnostics_channel";
 * import type { GracefulChannels } from "@x/graceful";
 *
 * subscribe("graceful.ended", (message) => {
 *   const { report, elapsed } = message as GracefulChannels["graceful.ended"];
 *   console.log(`ended by ${report.cause} after ${elapsed} ms`);
 * });
 * ```
 */
export interface GracefulChannels extends ShutdownChannels {
  /** The end is decided, and readiness fails. */
  "graceful.ending": Extract<GracefulEvent, { type: "ending" }>;
  /** The servers shut down. */
  "graceful.draining": Extract<GracefulEvent, { type: "draining" }>;
  /** The servers still shut down. Published once a second. */
  "graceful.waiting": Extract<GracefulEvent, { type: "waiting" }>;
  /** The deadline has passed, and connections are closed by force. */
  "graceful.forced": Extract<GracefulEvent, { type: "forced" }>;
  /** The servers are closed, and the cleanup begins. */
  "graceful.drained": Extract<GracefulEvent, { type: "drained" }>;
  /** A step has failed, and the end goes on. */
  "graceful.failed": Extract<GracefulEvent, { type: "failed" }>;
  /** A signal has arrived that cannot start an upgrade. */
  "graceful.ignored": Extract<GracefulEvent, { type: "ignored" }>;
  /** An upgrade waits for the end of the predecessor of this process. */
  "graceful.upgrade-waiting": Extract<GracefulEvent, { type: "upgrade-waiting" }>;
  /** A successor is being started. */
  "graceful.upgrade-started": Extract<GracefulEvent, { type: "upgrade-started" }>;
  /** The successor serves. */
  "graceful.upgrade-ready": Extract<GracefulEvent, { type: "upgrade-ready" }>;
  /** Everything is done, including the cleanup. */
  "graceful.ended": Extract<GracefulEvent, { type: "ended" }>;
  /** Other code listens to the signals as well. */
  "graceful.other-listeners": Extract<GracefulEvent, { type: "other-listeners" }>;
  /** A signal has arrived during the end. The process ends right after this event. */
  "graceful.interrupted": Extract<GracefulEvent, { type: "interrupted" }>;
  /** Something still keeps the process alive. The process is ended right after this event. */
  "graceful.kept-alive": Extract<GracefulEvent, { type: "kept-alive" }>;
}
