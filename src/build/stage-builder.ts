import type { PlannedStage, Step } from "../dockerfile/index.js";
import type { BuildSession } from "./build-session.js";
import { stepFailure } from "./failure.js";
import { type ImageState, withConfig, withLayer } from "./image-state.js";
import { copyStep, runStep, type StepContext, type StepOutcome, workdirStep } from "./steps/index.js";

/** Does the steps of one stage, one after the other. */
export async function buildStage(
  session: BuildSession,
  planned: PlannedStage,
  steps: readonly Step[],
  signal: AbortSignal,
): Promise<ImageState> {
  let state = await session.imageOf(planned.base);
  for (const step of steps) {
    signal.throwIfAborted();
    const before = state;
    state = await session.progress.during(planned.stage, step, signal, async (number) => {
      try {
        return await after(session.stepContext(planned, number, signal), before, step);
      } catch (error) {
        throw stepFailure(step, error, signal);
      }
    });
  }
  return state;
}

/** The state after a step, and whether what it takes was found. */
async function after(
  context: StepContext,
  state: ImageState,
  step: Step,
): Promise<{ value: ImageState; cached: boolean | undefined }> {
  if (step.kind === "config") {
    const value = step.createdBy === "" ? state : withConfig(state, step.config, step.createdBy);
    return { value: { ...value, config: step.config }, cached: undefined };
  }
  const outcome = await doStep(context, state, step);
  const value = withLayer(state, outcome, step.createdBy);
  return { value: { ...value, config: step.config }, cached: outcome.cached };
}

function doStep(
  context: StepContext,
  state: ImageState,
  step: Exclude<Step, { kind: "config" }>,
): Promise<StepOutcome> {
  if (step.kind === "run") return runStep(context, state, step);
  return step.kind === "workdir" ? workdirStep(context, state, step) : copyStep(context, state, step);
}
