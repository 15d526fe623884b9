import { UsageError } from "../errors.js";
import { formatReference, type Platform, parseReference } from "../oci/index.js";
import { type BuildScope, type ResolvedFrom, resolveFrom } from "./build-scope.js";
import { dockerfileError, type Location, locateWord } from "./location.js";
import { parseTrigger, type Stage, type StageInstruction } from "./parse.js";
import { nearest } from "./suggest.js";

/** Where files or a base come from. */
export type Source =
  | { kind: "scratch" }
  | { kind: "stage"; index: number }
  /** One of the named contexts, by the name it was given under. */
  | { kind: "context"; name: string }
  /** As it is written; whoever opens it knows the forms there are. */
  | { kind: "image"; name: string; platform: Platform | undefined };

/** A stage that the target needs. */
export interface PlannedStage {
  /** When a named context takes its place, it has no instructions. */
  stage: Stage;
  from: ResolvedFrom;
  base: Source;
  /** What the names in `COPY --from` and `RUN --mount from=` mean. */
  sources: ReadonlyMap<string, Source>;
  /** The indexes of the stages that have to be there first. */
  needs: readonly number[];
}

export interface BuildPlan {
  /** Each after those that it needs. */
  stages: PlannedStage[];
  target: PlannedStage;
}

export interface PlanOptions {
  /** `--target`: a stage's name or index. The last stage by default. */
  target?: string | undefined;
  /** The names of `--build-context`. They come before stages and images of that name. */
  contexts?: Iterable<string> | undefined;
  /** ONBUILD of base images by the index of the stage, as far as they are known: their `COPY --from` counts too. */
  triggers?: ReadonlyMap<number, readonly string[]> | undefined;
}

/**
 * Finds the stages that a target needs, in an order in which they can be built.
 * @throws DockerfileError for a stage that needs itself or a later one, or an index that there is not
 * @throws UsageError for a target that there is not
 */
export function planBuild(scope: BuildScope, options: PlanOptions = {}): BuildPlan {
  return new Planner(scope, options).plan();
}

interface Reference {
  name: string;
  location: Location;
}

class Planner {
  readonly #scope: BuildScope;
  readonly #options: PlanOptions;
  readonly #stages: readonly Stage[];
  /** The last stage of a name; that is what `--from` means. */
  readonly #byName: ReadonlyMap<string, Stage>;
  readonly #contexts: ReadonlyMap<string, string>;

  constructor(scope: BuildScope, options: PlanOptions) {
    this.#scope = scope;
    this.#options = options;
    this.#stages = scope.file.stages;
    this.#byName = new Map(this.#stages.flatMap((stage) => (stage.name === undefined ? [] : [[stage.name, stage]])));
    this.#contexts = new Map(Array.from(options.contexts ?? [], (name) => [normalName(name), name]));
  }

  plan(): BuildPlan {
    const last = this.#target();
    const planned: PlannedStage[] = [];
    const needed = new Set([last.index]);
    // What a stage needs comes before it in the file, so that one pass from the end finds all.
    for (let index = last.index; index >= 0; index--) {
      const stage = this.#stages[index];
      if (stage === undefined || !needed.has(index)) continue;
      const entry = this.#stage(stage);
      for (const need of entry.needs) needed.add(need);
      planned.unshift(entry);
    }
    const target = planned.at(-1);
    if (target === undefined) throw new UsageError(`${this.#scope.file.file} has no stage`);
    return { stages: planned, target };
  }

  #target(): Stage {
    const { target } = this.#options;
    const last = this.#stages.at(-1);
    const found = target ? (this.#byName.get(target.toLowerCase()) ?? this.#stageAt(target)) : last;
    if (found !== undefined) return found;
    const names = [...this.#byName.keys()];
    const near = nearest(target ?? "", names);
    const hint = near === undefined ? `Its stages: ${names.join(", ") || "none has a name"}.` : `Did you mean ${near}?`;
    throw new UsageError(`${this.#scope.file.file} has no stage ${JSON.stringify(target)}`, { hint });
  }

  #stage(stage: Stage): PlannedStage {
    const context = stage.name === undefined ? undefined : this.#contexts.get(normalName(stage.name));
    if (context !== undefined) return this.#replaced(stage, context);
    const from = resolveFrom(this.#scope, stage);
    const base = this.#base(stage, from);
    const references = this.#references(stage);
    const sources = new Map(references.map((each) => [each.name, this.#source(stage, each)]));
    const stages = [base, ...sources.values()].flatMap((source) => (source.kind === "stage" ? [source.index] : []));
    return { stage, from, base, sources, needs: [...new Set(stages)] };
  }

  #replaced(stage: Stage, name: string): PlannedStage {
    const from = { base: name, platform: undefined };
    return {
      stage: { ...stage, instructions: [] },
      from,
      base: { kind: "context", name },
      sources: new Map(),
      needs: [],
    };
  }

  /** FROM sees the stages before it only; a later one of that name is another thing. */
  #base(stage: Stage, { base, platform }: ResolvedFrom): Source {
    const context = this.#context(base);
    if (context !== undefined) return context;
    const earlier = this.#stages.slice(0, stage.index).findLast(({ name }) => name === base.toLowerCase());
    if (earlier !== undefined) return { kind: "stage", index: earlier.index };
    return base === "scratch" ? { kind: "scratch" } : { kind: "image", name: base, platform };
  }

  #source(stage: Stage, { name, location }: Reference): Source {
    const isIndex = /^\d+$/.test(name);
    const found = isIndex ? this.#stageAt(name) : this.#byName.get(name.toLowerCase());
    if (found === undefined) {
      if (!isIndex)
        return (
          this.#context(name) ??
          (name === "scratch" ? { kind: "scratch" } : { kind: "image", name, platform: undefined })
        );
      const hint = `There are ${this.#stages.length}, and the first is 0.`;
      throw dockerfileError(locateWord(location, `from=${name}`), `there is no stage ${name}`, hint);
    }
    if (found.index < stage.index) return { kind: "stage", index: found.index };
    throw this.#wrongOrder(stage, found, { name, location });
  }

  #wrongOrder(stage: Stage, found: Stage, { name, location }: Reference) {
    const at = locateWord(location, `from=${name}`);
    if (found.index === stage.index) return dockerfileError(at, `the stage ${name} needs itself`);
    const isCycle = this.#reaches(found, stage);
    const message = isCycle
      ? `the stages ${stage.name ?? stage.index} and ${name} need each other`
      : `the stage ${name} comes later`;
    const hint = isCycle
      ? "Put what both need into a stage of its own."
      : `Move it before line ${stage.from.location.line}.`;
    return dockerfileError(at, message, hint);
  }

  /** Whether a stage needs another one, whatever their order. */
  #reaches(from: Stage, to: Stage): boolean {
    const seen = new Set([from]);
    for (const stage of seen) {
      if (stage === to) return true;
      const names = [resolveFrom(this.#scope, stage).base, ...this.#references(stage).map(({ name }) => name)];
      for (const name of names) {
        const next = this.#byName.get(name.toLowerCase()) ?? this.#stageAt(name);
        if (next !== undefined) seen.add(next);
      }
    }
    return false;
  }

  #stageAt(text: string): Stage | undefined {
    return /^\d{1,6}$/.test(text) ? this.#stages[Number(text)] : undefined;
  }

  #context(name: string): Source | undefined {
    if (name === "scratch" || name === "context") return undefined;
    const given = this.#contexts.get(normalName(name));
    return given === undefined ? undefined : { kind: "context", name: given };
  }

  /** What a stage names with `--from` and `from=`, its triggers included. */
  #references(stage: Stage): Reference[] {
    return [...this.#triggers(stage), ...stage.instructions].flatMap((instruction) => {
      const { location } = instruction;
      if (instruction.name === "COPY")
        return instruction.from === undefined ? [] : [{ name: instruction.from, location }];
      if (instruction.name !== "RUN") return [];
      return instruction.mounts.flatMap(({ from }) => (from === undefined ? [] : [{ name: from, location }]));
    });
  }

  #triggers(stage: Stage): StageInstruction[] {
    const known = this.#options.triggers?.get(stage.index) ?? [];
    return [...this.#ownTriggers(stage), ...known].map((expression) => parseTrigger(expression, stage.from.location));
  }

  /** Those of the stage that this one begins with. */
  #ownTriggers(stage: Stage): string[] {
    const base = this.#base(stage, resolveFrom(this.#scope, stage));
    const instructions = base.kind === "stage" ? (this.#stages[base.index]?.instructions ?? []) : [];
    return instructions.flatMap((each) => (each.name === "ONBUILD" ? [each.expression] : []));
  }
}

/** One form for all ways to write an image's name. */
function normalName(name: string): string {
  try {
    return formatReference(parseReference(name));
  } catch {
    return name.toLowerCase();
  }
}
