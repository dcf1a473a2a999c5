import type { ServeSettings } from "../options/serve.ts";
import { unavailable } from "./refused_upgrade.ts";

/**
 * Returns settings whose `onError` is not called with errors that only say that the client of a request has left.
 * The response to such a request reaches nobody.
 */
export function ignoringLeftClients(
  settings: ServeSettings,
  saysClientLeft: (error: Error) => boolean,
): ServeSettings {
  const { onError } = settings;
  return {
    ...settings,
    onError: (error) =>
      error instanceof Error && saysClientLeft(error) ? unavailable() : onError(error),
  };
}
