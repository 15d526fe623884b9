export type { CheckDirective, Directives } from "./directives.js";
export { type ExpandOptions, type Expansion, expandWord } from "./expand-word.js";
export { heredocContent } from "./heredoc.js";
export type * from "./instruction.js";
export type { Location } from "./location.js";
export type { Mount } from "./mount.js";
export { type Dockerfile, parseDockerfile, parseTrigger, type Stage, type StageInstruction } from "./parse.js";
export type { DockerfileWarning, WarningRule } from "./warning.js";
