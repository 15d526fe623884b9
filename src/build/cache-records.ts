import type { BuildPlan } from "../dockerfile/index.js";
import type { StepCache } from "./cache.js";
import type { StepRecords } from "./shared-cache/index.js";
import type { StepResult } from "./step-entry.js";

/** What the steps of a build have found or done, by stage. */
export class CacheRecords {
  readonly #stages = new Map<number, Map<string, StepResult>>();

  /** The cache, with a note of each of the stage's steps. */
  of(stage: number, cache: StepCache): Pick<StepCache, "find" | "keep" | "holdStep"> {
    const records = this.#stages.get(stage) ?? new Map<string, StepResult>();
    this.#stages.set(stage, records);
    return {
      find: async (key) => {
        const found = await cache.find(key);
        if (found) records.set(key, found);
        return found;
      },
      keep: async (key, result) => {
        records.set(key, result);
        await cache.keep(key, result);
      },
      holdStep: (key, signal) => cache.holdStep(key, signal),
    };
  }

  /** With `min` those of the stages that the image is made of, with `max` all. */
  inMode(mode: "min" | "max", plan: BuildPlan): StepRecords {
    const stages = mode === "max" ? [...this.#stages.keys()] : stagesBelow(plan);
    return new Map(stages.flatMap((stage) => [...(this.#stages.get(stage) ?? [])]));
  }
}

/** The target, what it begins with, and so on. */
function stagesBelow({ stages, target }: BuildPlan): number[] {
  const found: number[] = [];
  for (let planned: BuildPlan["target"] | undefined = target; planned; ) {
    const base: BuildPlan["target"]["base"] = planned.base;
    found.push(planned.stage.index);
    planned = base.kind === "stage" ? stages.find(({ stage }) => stage.index === base.index) : undefined;
  }
  return found;
}
