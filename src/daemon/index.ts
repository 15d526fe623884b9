export type { OutputLine } from "./output-log.js";
export type { LogOptions } from "./read-output.js";
export type { VmRecord, VmStatus } from "./record.js";
export { RemoteExecFailure, RemoteProcess } from "./remote-process.js";
export { parseRestartPolicy, type RestartPolicy } from "./restart-policy.js";
export { findVm, listVms, RunningVm } from "./running-vm.js";
export { type DetachedOptions, startDetached } from "./start-detached.js";
