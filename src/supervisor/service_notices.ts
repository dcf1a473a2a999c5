import { reportError } from "../core/report_error.ts";
import { notify, notifyReloading, notifyUnlessEnding } from "../systemd/notify.ts";
import { watchdog } from "../systemd/watchdog.ts";
import { upgraderOfProcess } from "../upgrade/upgrader.ts";

/** Notifies the service manager of this process about the service, one message after another. */
export class ServiceNotices {
  #sent: Promise<unknown> = Promise.resolve();
  readonly #watchdog = watchdog();

  /** Reports that the first generation serves, also to a predecessor of this process. */
  ready(): void {
    this.#send(() => upgraderOfProcess().ready());
  }

  reloading(): void {
    this.#send(notifyReloading);
  }

  reloaded(generation: number): void {
    this.#send(() => notify({ READY: 1, STATUS: `generation ${generation} serves` }));
  }

  stopping(): void {
    this.#send(() => notifyUnlessEnding({ STOPPING: 1 }));
  }

  /** Stops feeding the watchdog. */
  end(): void {
    this.#watchdog?.[Symbol.dispose]();
  }

  #send(message: () => Promise<unknown>): void {
    this.#sent = this.#sent.then(message).catch(reportError);
  }
}
