export type { MemoryUsage } from "../machine/index.js";
export type {
  CopyInOptions,
  CopyOutOptions,
  CopyProgress,
  Extracted,
  ExtractOptions,
  SkipReason,
} from "./copy/index.js";
export { extractArchive } from "./copy/index.js";
export type { ExecOptions, RunOptions, RunResult } from "./exec-options.js";
export type { ExitStatus } from "./exit-status.js";
export { VmFiles, type WriteFileOptions, type WriteStreamOptions } from "./files.js";
export type { Fork, ForkFailure, ForkOptions } from "./fork.js";
export { oomKills } from "./oom-kills.js";
export type { CapturedVm, PooledVm, VmOrigin } from "./origin.js";
export { type AttachableProcess, VmProcess } from "./process.js";
export { parseUlimit, type Rlimit, type RlimitName, type Rlimits, resourceLimits } from "./rlimits.js";
export {
  type CommandChanges,
  type Healthcheck,
  imageCommand,
  parseEnv,
  parseEnvFile,
  type RunConfiguration,
} from "./run-configuration.js";
export type { StagedFile } from "./stage.js";
export { Vm } from "./vm.js";
export { type OutputListener, Workload } from "./workload.js";
