/**
 * A supervisor: a process that stays, holds the listening sockets, and runs generations of a service. The service may
 * be any program on any runtime. Its workers use all processors with one accept queue, and are replaced without losing
 * a connection.
 *
 * The command `graceful run` starts a supervisor; `supervise` starts one from a program.
 *
 * @module
 */
export { supervise } from "./supervise.ts";
export type { Supervisor, SupervisorReport } from "./supervisor.ts";
export type { SupervisorOptions } from "./options.ts";
export type { SupervisorStatus, WorkerStatus } from "./status.ts";
export type { SupervisorEvent, WorkerName } from "./events.ts";
export { UpgradeError } from "../core/errors.ts";
export type { Addr } from "../core/addr.ts";
