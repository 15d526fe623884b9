export { type BuiltImage, buildImage } from "./build-image.js";
export type { BuildEvent, OnBuild, OutputEvent, StepEvent, WarningEvent } from "./events.js";
export { parseSecret, type SecretSource } from "./mounts/index.js";
export type { BuildOptions } from "./options.js";
