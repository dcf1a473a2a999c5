/**
 * The names of the channels of `node:diagnostics_channel` on which this package publishes. `GracefulChannels`
 * describes them.
 */
export const CHANNEL_NAMES = [
  "graceful.ending",
  "graceful.draining",
  "graceful.waiting",
  "graceful.forced",
  "graceful.drained",
  "graceful.failed",
  "graceful.ignored",
  "graceful.upgrade-waiting",
  "graceful.upgrade-started",
  "graceful.upgrade-ready",
  "graceful.ended",
  "graceful.other-listeners",
  "graceful.interrupted",
  "graceful.kept-alive",
  "graceful.shutdown.start",
  "graceful.shutdown.end",
] as const;

/** The name of a channel. */
export type ChannelName = typeof CHANNEL_NAMES[number];
