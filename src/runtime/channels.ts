import type { Channel } from "node:diagnostics_channel";
import { attempt } from "../core/attempt.ts";
import { diagnosticsChannel } from "../core/builtins.ts";
import { CHANNEL_NAMES, type ChannelName } from "../core/channel_names.ts";
import { ofProcess } from "../core/process_state.ts";
import { internals } from "./node/internals.ts";

/** The channels of this thread on which this package publishes. Errors of subscribers are only reported. */
class Channels {
  /**
   * The channels, which this property keeps alive. Bun holds channels weakly, and loses a channel that
   * nobody else holds, together with its subscribers.
   *
   * @see https://github.com/oven-sh/bun/issues/43086
   */
  readonly #channels: Readonly<Record<ChannelName, Channel>>;

  constructor() {
    const { channel } = diagnosticsChannel();
    // The cast: each name is in the list.
    this.#channels = Object.fromEntries(
      CHANNEL_NAMES.map((name) => [name, channel(name)]),
    ) as Record<ChannelName, Channel>;
  }

  /** Reports whether somebody subscribes to a channel. */
  hasSubscribers(name: ChannelName): boolean {
    return this.#channels[name].hasSubscribers;
  }

  /**
   * Publishes the message that `make` returns. `make` is called only if somebody subscribes to the channel.
   *
   * A subscriber that throws, or whose promise rejects, is reported on the console. `Channel.publish` would
   * make an uncaught exception of it, which ends the process in the middle of a drain.
   */
  publish(name: ChannelName, make: () => object): void {
    if (this.hasSubscribers(name)) attempt(() => deliver(make(), this.#channels[name], name));
  }
}

function deliver(message: object, channel: Channel, name: ChannelName): void {
  const subscribers = internals.subscribersOf(channel);
  if (subscribers === undefined) channel.publish(message);
  for (const subscriber of subscribers ?? []) attempt(() => subscriber(message, name));
}

/** Returns the channels of this thread. Subscriptions are safe on Bun from the first call on. */
export const channels = (): Channels => ofProcess(newChannels);
const newChannels = () => new Channels();
