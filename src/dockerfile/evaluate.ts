import type { ImageConfig } from "../oci/index.js";
import { type BuildScope, resolveFrom } from "./build-scope.js";
import { evaluateConfig } from "./evaluate-config.js";
import { evaluateCopy } from "./evaluate-copy.js";
import { evaluateRun } from "./evaluate-run.js";
import { expandWord } from "./expand-word.js";
import { ExpansionError } from "./expansion-error.js";
import { parseTrigger, type Stage, type StageInstruction } from "./parse.js";
import { emptyImage, joinPath, StageState } from "./stage-state.js";
import type { Step } from "./step.js";
import type { DockerfileWarning } from "./warning.js";

/** A stage whose every instruction is understood, before any of it is done. */
export interface EvaluatedStage {
  stage: Stage;
  /** The triggers of the base first, then the stage's own. ARG, ENV and the like are steps too. */
  steps: Step[];
  /** The image that it makes; its layers are its base's. */
  image: ImageConfig;
  /** For a stage that begins where this one ends. */
  env: ReadonlyMap<string, string>;
  args: ReadonlyMap<string, string | undefined>;
  warnings: DockerfileWarning[];
}

/**
 * Walks through a stage: expands variables, follows WORKDIR, USER and SHELL, and makes the image's configuration by docker's rules.
 * @param base the configuration of the base image, the stage that it begins with, or `undefined` for `scratch`
 * @throws DockerfileError that shows the line
 */
export function evaluateStage(
  scope: BuildScope,
  stage: Stage,
  base: ImageConfig | EvaluatedStage | undefined,
): EvaluatedStage {
  const warnings: DockerfileWarning[] = [];
  const inherited = base !== undefined && "steps" in base ? base : undefined;
  const image =
    inherited?.image ??
    (base as ImageConfig | undefined) ??
    emptyImage(resolveFrom(scope, stage).platform ?? scope.platform);
  const state = new StageState(scope, image, inherited, (rule, message, location) =>
    warnings.push({ rule, message, location }),
  );
  const triggers = stageTriggers(stage, image);
  const steps: Step[] = [];
  for (const [index, instruction] of [...triggers, ...stage.instructions].entries()) {
    steps.push(evaluate(state, instruction, index < triggers.length));
  }
  const history = steps
    .filter(({ createdBy }) => createdBy !== "")
    .map(({ createdBy, kind }) => ({
      created: undefined,
      created_by: createdBy,
      author: undefined,
      comment: undefined,
      empty_layer: kind === "config" ? true : undefined,
    }));
  return {
    stage,
    steps,
    image: {
      ...state.image,
      created: undefined,
      config: state.config,
      history: [...(image.history ?? []), ...history],
    },
    env: state.env,
    args: state.args,
    warnings,
  };
}

/** What the base's ONBUILD adds to a stage, in front of its own instructions. @throws DockerfileError at FROM */
export function stageTriggers(stage: Stage, base: ImageConfig | undefined): StageInstruction[] {
  return (base?.config?.OnBuild ?? []).map((expression) => parseTrigger(expression, stage.from.location));
}

function evaluate(state: StageState, instruction: StageInstruction, isTrigger: boolean): Step {
  const common = { instruction, isTrigger, title: title(state, instruction) };
  switch (instruction.name) {
    case "RUN":
      return { ...common, ...evaluateRun(state, instruction), config: state.config };
    case "COPY":
    case "ADD":
      return { ...common, ...evaluateCopy(state, instruction), config: state.config };
    case "WORKDIR": {
      const path = workdir(state, instruction);
      return {
        ...common,
        kind: "workdir",
        path,
        user: state.config.User ?? "",
        createdBy: `WORKDIR ${path}`,
        config: state.config,
      };
    }
    default: {
      const createdBy = evaluateConfig(state, instruction);
      return { ...common, kind: "config", createdBy, config: state.config };
    }
  }
}

function workdir(state: StageState, instruction: Extract<StageInstruction, { name: "WORKDIR" }>): string {
  const at = instruction.location;
  const path = state.expand(instruction.path, at);
  if (!path.startsWith("/") && !state.seen.has("WORKDIR")) {
    state.warn("WorkdirRelativePath", `${path} is relative to whatever the base's folder is`, at);
  }
  state.seen.add("WORKDIR");
  state.change({ WorkingDir: joinPath(state.workdir, path) });
  return state.workdir;
}

/** For people; what cannot be expanded is shown as it is, since its own step reports it. */
function title(state: StageState, { name, text }: StageInstruction): string {
  const asWritten = { keepQuotes: true, keepEscapes: true, keepUnset: true };
  const rest = text.slice(name.length);
  try {
    return name + expandWord(rest, state.env, asWritten).text;
  } catch (error) {
    if (error instanceof ExpansionError) return name + rest;
    throw error;
  }
}
