export type { ExitStatus } from "./exit-status.js";
export type { Fork, ForkFailure, ForkOptions } from "./fork.js";
export { VmProcess } from "./process.js";
export { imageCommand, parseEnv, type RunConfiguration } from "./run-configuration.js";
export {
  type ExecOptions,
  type RunOptions,
  type RunResult,
  Vm,
  type VmOrigin,
  type WriteFileOptions,
} from "./vm.js";
