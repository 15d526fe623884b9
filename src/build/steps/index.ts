export { type CopyRequest, copyStep } from "./copy-step.js";
export { checkRun, runStep } from "./run-step.js";
export type { CommandSettings, StepContext, StepOutcome, StepSource } from "./step-context.js";
export { workdirStep } from "./workdir-step.js";
