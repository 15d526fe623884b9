import type { PlannedStage, Step } from "../dockerfile/index.js";
import { UsageError } from "../errors.js";
import { MOST_LAYERS } from "../image/index.js";
import type { BuildSession } from "./build-session.js";
import { stepFailure } from "./failure.js";
import { type ImageState, withConfig, withLayer } from "./image-state.js";
import { checkRun, copyStep, runStep, type StepContext, type StepOutcome, workdirStep } from "./steps/index.js";

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

/** Finds what cannot be done before anything is. @throws BuildError */
export function checkSteps(steps: readonly Step[]): void {
  for (const step of steps) {
    if (step.kind !== "run") continue;
    try {
      checkRun(step);
    } catch (error) {
      throw stepFailure(step, error, undefined);
    }
  }
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
  if (value.layers.length > MOST_LAYERS) {
    throw new UsageError(`It makes layer ${value.layers.length} of the image; at most ${MOST_LAYERS} can be attached`, {
      hint: "Join RUN instructions with && or heredocs, and COPY instructions by naming several sources.",
    });
  }
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
