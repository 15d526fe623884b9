export { entitlementsPath, type HypervisorEntitlement } from "./assets/index.js";
export {
  type DetachedOptions,
  findVm,
  type LogOptions,
  listVms,
  type OutputLine,
  parseRestartPolicy,
  RemoteExecFailure,
  RemoteProcess,
  type RestartPolicy,
  RunningVm,
  startDetached,
  type VmRecord,
  type VmStatus,
} from "./daemon/index.js";
export { type Diagnosis, doctor, type Finding } from "./doctor/index.js";
export {
  type AccessEntry,
  type EdgeHealth,
  type EdgeOptions,
  type EdgeWorker,
  formatAccess,
  HttpEdge,
  type ListenOptions,
  type ServeOptions,
  type ServerLimits,
  type Service,
  type ServiceHealth,
  type ServiceOptions,
  type ServiceState,
  serve,
  serveAlso,
  type TlsFiles,
  type VmWorkerOptions,
  type WorkerHealth,
  type WorkerSource,
} from "./edge/index.js";
export * from "./errors.js";
export {
  ExecFailure,
  type FileEvent,
  type FileInfo,
  type FileType,
  FileWatcher,
  GuestConnectionError,
  type ProcessInfo,
} from "./guest/index.js";
export {
  type AcquireVmOptions,
  type BakeOptions,
  type BundleDiagnosis,
  type BundleOptions,
  type BundleProblem,
  type BundleSummary,
  bundleImage,
  type CopySourceOptions,
  closePools,
  type ForeignState,
  Image,
  listImages,
  Pool,
  type PushedImage,
  type PushOptions,
  pushImage,
  type Ready,
  removeImage,
  type SavedImage,
  type SaveFormat,
  type SaveOptions,
  type SnapshotSummary,
  type StartOptions,
  saveImage,
  verifyBundle,
  type Warmup,
} from "./image/index.js";
export { LOG_LEVELS, type LogLevel, logLevel } from "./log.js";
export { type Limits, setLimits } from "./machine/index.js";
export {
  diskUsage,
  type ImageUsage,
  type Pruned,
  type PruneOptions,
  type PruneResult,
  prune,
  type RemoveOptions,
  removeImages,
  type StoreDiagnosis,
  type StoreProblem,
  type StoreUsage,
  type UnusedKind,
  type VerifyStoreOptions,
  verifyStore,
} from "./maintenance/index.js";
export { type MountOptions, parseMount, type SymlinkPolicy } from "./mounts/index.js";
export type {
  EgressEvent,
  EgressPolicy,
  EgressRules,
  ExposedPort,
  ExposeOptions,
  ListeningPort,
  NetworkOptions,
  PublishOptions,
} from "./network/index.js";
export { parseEgressPolicy, parsePublish } from "./network/index.js";
export { type PullPolicy, parseRegistryAuth, type RegistryAuth } from "./oci/index.js";
export type { AcquireOptions, Latency, PoolOptions, PoolStats } from "./pool/index.js";
export type { LayerState, LongWork, OnProgress, ProgressEvent, ProgressPhase, Retry } from "./progress.js";
export { type CodesignResult, codesignQemu, type SetupResult, setup } from "./setup.js";
export { home } from "./store/index.js";
export { version } from "./version.js";
export {
  type AttachableProcess,
  type ExecOptions,
  type ExitStatus,
  type Fork,
  type ForkFailure,
  type ForkOptions,
  type MemoryUsage,
  parseEnv,
  parseEnvFile,
  parseUlimit,
  type Rlimit,
  type RlimitName,
  type Rlimits,
  type RunConfiguration,
  type RunOptions,
  type RunResult,
  type StagedFile,
  Vm,
  VmFiles,
  VmProcess,
  Workload,
  type WriteFileOptions,
  type WriteStreamOptions,
} from "./vm/index.js";
export {
  createVolume,
  inspectVolume,
  listVolumes,
  parseVolume,
  removeVolume,
  type VolumeOptions,
  type VolumeState,
  type VolumeSummary,
} from "./volumes/index.js";
