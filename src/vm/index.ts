export type { MemoryUsage } from "../machine/index.js";
export type { ExecOptions, RunOptions, RunResult } from "./exec-options.js";
export type { ExitStatus } from "./exit-status.js";
export type { Fork, ForkFailure, ForkOptions } from "./fork.js";
export { type AttachableProcess, VmProcess } from "./process.js";
export { type CommandChanges, imageCommand, parseEnv, type RunConfiguration } from "./run-configuration.js";
export { Vm, type VmOrigin, type WriteFileOptions } from "./vm.js";
export { Workload } from "./workload.js";
