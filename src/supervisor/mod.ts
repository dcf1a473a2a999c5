/**
 * A supervisor that stays: a process that holds the listening sockets and runs generations of a service, of any program
 * on any runtime. It uses all processors with one accept queue, and restarts the service without losing a connection.
 *
 * The command `graceful run` is a supervisor; `supervise` is the same for programs.
 *
 * @module
 */
export { supervise, type Supervisor, type SupervisorReport } from "./supervisor.ts";
export type { SupervisorOptions } from "./options.ts";
export type { SupervisorStatus, WorkerStatus } from "./status.ts";
export type { SupervisorEvent, WorkerName } from "./events.ts";
export { UpgradeError } from "../core/errors.ts";
export type { Addr } from "../core/addr.ts";
