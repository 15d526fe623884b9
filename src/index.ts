export { type Diagnosis, doctor, type Finding } from "./doctor/index.js";
export * from "./errors.js";
export { ExecFailure } from "./guest/index.js";
export {
  type BakeOptions,
  closePools,
  Image,
  listImages,
  Pool,
  type PushedImage,
  type PushOptions,
  pushImage,
  removeImage,
  type SnapshotSummary,
  type StartOptions,
} from "./image/index.js";
export { type Limits, setLimits } from "./machine/index.js";
export { type Pruned, type PruneOptions, type PruneResult, prune, type UnusedKind } from "./maintenance/index.js";
export { type PullPolicy, parseRegistryAuth, type RegistryAuth } from "./oci/index.js";
export type { AcquireOptions, Latency, PoolOptions, PoolStats } from "./pool/index.js";
export type { LongWork, OnProgress, ProgressEvent, ProgressPhase } from "./progress.js";
export { type SetupResult, setup } from "./setup.js";
export { home } from "./store/index.js";
export { version } from "./version.js";
export {
  type ExecOptions,
  type ExitStatus,
  type Fork,
  type ForkFailure,
  type ForkOptions,
  parseEnv,
  type RunConfiguration,
  type RunOptions,
  type RunResult,
  Vm,
  VmProcess,
  type WriteFileOptions,
} from "./vm/index.js";
