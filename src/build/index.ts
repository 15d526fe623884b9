export { type BuiltImage, buildImage, type ExportedBuild, type ExportOptions, exportBuild } from "./build-image.js";
export { parseBuildContext } from "./contexts.js";
export type { BuildEvent, OnBuild, OutputEvent, StepEvent, WarningEvent } from "./events.js";
export type { FailedCommand, ShellOptions } from "./failed-command.js";
export { parseSecret, type SecretSource } from "./mounts/index.js";
export type { BuildOptions } from "./options.js";
export { type BuildOutput, parseBuildOutput, type WrittenOutput } from "./output/index.js";
export { parseSsh } from "./ssh/index.js";
export { type CacheSource, type CacheTarget, parseCacheSource, parseCacheTarget } from "./shared-cache/index.js";
