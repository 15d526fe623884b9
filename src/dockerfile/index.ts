export { type AddSource, addSource } from "./add-source.js";
export { applyChanges } from "./apply-changes.js";
export {
  type BuildScope,
  buildScope,
  type ResolvedFrom,
  resolveFrom,
  type ScopeOptions,
  unusedBuildArgs,
} from "./build-scope.js";
export { checkWarnings } from "./check-warnings.js";
export type { CheckDirective, Directives } from "./directives.js";
export { type EvaluatedStage, evaluateStage } from "./evaluate.js";
export { type ExpandOptions, type Expansion, expandWord } from "./expand-word.js";
export { ExpansionError } from "./expansion-error.js";
export { PatternError } from "./glob.js";
export { compileIgnoreFile, ignoreFileNames } from "./ignore-file.js";
export type * from "./instruction.js";
export { excerpt, type Location } from "./location.js";
export type { BindMount, CacheMount, Mount, SecretMount, SshMount, TmpfsMount } from "./mount.js";
export { type Dockerfile, parseDockerfile, type Stage, type StageInstruction } from "./parse.js";
export { compilePatterns, type PathPatterns } from "./path-patterns.js";
export { type BuildPlan, type PlannedStage, type PlanOptions, planBuild, type Source } from "./plan.js";
export { parseSourcePath, type SourcePath, type SourceSegment } from "./source-path.js";
export { MOST_DOCKERFILE_BYTES } from "./source-text.js";
export type { ConfigStep, ContainerConfig, CopyStep, RunStep, Step, WorkdirStep } from "./step.js";
export type { DockerfileWarning, WarningRule } from "./warning.js";
