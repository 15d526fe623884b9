import { join } from "node:path";
import {
  type BuildPlan,
  type BuildScope,
  type EvaluatedStage,
  evaluateStage,
  type PlannedStage,
  planBuild,
  type Source,
  type Stage,
} from "../dockerfile/index.js";
import { UsageError } from "../errors.js";
import { openRuntime } from "../machine/index.js";
import { DEFAULT_EGRESS } from "../network/index.js";
import { formatPlatform } from "../oci/index.js";
import { Remote } from "../remote/index.js";
import { LayerStore } from "../rootfs/index.js";
import { home } from "../store/index.js";
import { type Base, emptyDocument, emptyImage, openBase } from "./base.js";
import { BuildProgress } from "./build-progress.js";
import { StepCache } from "./cache.js";
import { CacheRecords } from "./cache-records.js";
import { type NamedContext, parseContexts, readIgnoreFile } from "./contexts.js";
import type { KeptCommand } from "./failed-command.js";
import { filesKey, type ImageState, withLayer } from "./image-state.js";
import { REMOTE } from "./kept-by-builds.js";
import { BuildMachines } from "./machine.js";
import type { MainContext } from "./main-context.js";
import { type BuildOptions, commandSettings, machineSize, parallelism } from "./options.js";
import type { ImportedCache, StepRecords } from "./shared-cache/index.js";
import { buildStage, checkSteps } from "./stage-builder.js";
import { copyStep, type StepContext, type StepSource } from "./steps/index.js";
import { ContextTree, type FileDigests, LayerTree } from "./tree/index.js";
import { wholeCopy } from "./whole-copy.js";

/** One build: what its stages share. */
export class BuildSession implements Disposable {
  readonly scope: BuildScope;
  readonly #options: BuildOptions;
  readonly #context: MainContext;
  readonly #digests: FileDigests;
  readonly #layers = new LayerStore(home().layers);
  readonly #cache: StepCache;
  readonly #bases = new Map<string, Promise<Base>>();
  readonly #evaluated = new Map<number, EvaluatedStage>();
  readonly #stages = new Map<number, Promise<ImageState>>();
  readonly #remote: Remote;
  readonly #contexts: ReadonlyMap<string, NamedContext>;
  readonly #records = new CacheRecords();
  #machines: Promise<BuildMachines> | undefined;
  #progress = new BuildProgress([]);
  #failed: KeptCommand | undefined;

  private constructor(
    scope: BuildScope,
    options: BuildOptions,
    cache: StepCache,
    digests: FileDigests,
    contexts: ReadonlyMap<string, NamedContext>,
    context: MainContext,
  ) {
    this.scope = scope;
    this.#options = options;
    this.#cache = cache;
    this.#digests = digests;
    this.#contexts = contexts;
    this.#context = context;
    this.#remote = new Remote(join(home().builds, REMOTE), options.egress ?? DEFAULT_EGRESS);
  }

  static async begin(
    scope: BuildScope,
    options: BuildOptions,
    imported: readonly ImportedCache[],
    context: MainContext,
  ): Promise<BuildSession> {
    const cache = new StepCache(new LayerStore(home().layers), imported);
    const contexts = await parseContexts(options.contexts ?? {});
    return new BuildSession(scope, options, cache, await cache.fileDigests(), contexts, context);
  }

  [Symbol.dispose](): void {
    void this.#remote[Symbol.asyncDispose]().catch(() => undefined);
    void this.#machines?.then((machines) => machines[Symbol.dispose]()).catch(() => undefined);
  }

  /** What was read of the context is known to the next build. */
  async keepDigests(): Promise<void> {
    await this.#cache.keepFileDigests(this.#digests);
  }

  /** What was found or done, for others. */
  records(mode: "min" | "max", plan: BuildPlan): StepRecords {
    return this.#records.inMode(mode, plan);
  }

  get progress(): BuildProgress {
    return this.#progress;
  }

  /** Opens the images that stages begin with and evaluates every stage, so that mistakes show before anything is done. */
  async plan(): Promise<{ plan: BuildPlan; evaluated: EvaluatedStage[] }> {
    const { target, noCacheFilter = [] } = this.#options;
    for (const text of noCacheFilter) {
      if (this.scope.file.stages.some((stage) => isNamedBy([text], stage))) continue;
      throw new UsageError(`there is no stage ${text} to be run anew`, { hint: "Name stages of the Dockerfile." });
    }
    const options = { target, contexts: [...this.#contexts.keys()] };
    const first = planBuild(this.scope, options);
    const triggers = await this.#triggers(first);
    const plan = triggers.size === 0 ? first : planBuild(this.scope, { ...options, triggers });
    for (const planned of plan.stages) {
      const evaluated = await this.#evaluate(planned);
      checkSteps(evaluated.steps);
      this.#evaluated.set(planned.stage.index, evaluated);
    }
    const evaluated = [...this.#evaluated.values()];
    this.#progress = new BuildProgress(evaluated, this.#options.onBuild);
    return { plan, evaluated };
  }

  /** What the bases add to the stages that begin with them, which may need more stages. */
  async #triggers(plan: BuildPlan): Promise<Map<number, readonly string[]>> {
    const found = new Map<number, readonly string[]>();
    for (const { stage, base } of plan.stages) {
      if (base.kind !== "image" && base.kind !== "context") continue;
      const { document } = await this.#image(base);
      const own = document.config?.OnBuild ?? [];
      if (own.length > 0) found.set(stage.index, own);
    }
    return found;
  }

  async #evaluate({ stage, base }: PlannedStage): Promise<EvaluatedStage> {
    if (base.kind === "stage") return evaluateStage(this.scope, stage, this.#evaluated.get(base.index));
    if (base.kind === "scratch") return evaluateStage(this.scope, stage, undefined);
    return evaluateStage(this.scope, stage, (await this.#image(base)).document);
  }

  /** An image from elsewhere, opened once. */
  #image(source: Source): Promise<Base> {
    if (source.kind === "context") return this.#contextImage(source.name);
    if (source.kind !== "image") throw new UsageError(`${source.kind} is no image`);
    const { name, platform = this.scope.platform } = source;
    const key = `${formatPlatform(platform)} ${name}`;
    const opened = this.#bases.get(key) ?? openBase(name, platform, this.#options);
    this.#bases.set(key, opened);
    return opened;
  }

  /** What a named context is as an image: itself, or one layer of its files. */
  #contextImage(name: string): Promise<Base> {
    const key = `context ${name}`;
    const opened = this.#bases.get(key) ?? this.#openContext(name, this.#contextOf(name));
    this.#bases.set(key, opened);
    return opened;
  }

  async #openContext(name: string, context: NamedContext): Promise<Base> {
    const { platform } = this.scope;
    if (context.kind === "image") return await openBase(context.reference, platform, this.#options);
    const isFolder = context.kind === "folder";
    const step = isFolder ? wholeCopy("copy", ".") : wholeCopy("add", context.source);
    const openSource = () => this.#folderSource(name, isFolder ? context.path : "");
    const work = { onProgress: this.#options.onProgress, signal: this.#options.signal };
    const empty = emptyImage(platform);
    const outcome = await copyStep(
      { ...this.#common(), useCache: !this.#options.noCache, openSource, work },
      empty,
      step,
    );
    return { state: withLayer(empty, outcome, `CONTEXT ${name}`), document: emptyDocument(platform) };
  }

  #contextOf(name: string): NamedContext {
    const context = this.#contexts.get(name);
    if (!context) throw new UsageError(`there is no build context ${name}`);
    return context;
  }

  async #folderSource(name: string, folder: string): Promise<StepSource & Disposable> {
    const ignore = await readIgnoreFile(join(folder, ".dockerignore"));
    return this.#treeSource(new ContextTree(`the build context ${name}`, folder, this.#digests, ignore));
  }

  #treeSource(tree: ContextTree): StepSource & Disposable {
    return { tree, key: undefined, layers: undefined, [Symbol.dispose]: () => tree[Symbol.dispose]() };
  }

  /** A stage's image, built once. */
  stage(planned: PlannedStage, signal: AbortSignal): Promise<ImageState> {
    const { index } = planned.stage;
    const evaluated = this.#evaluated.get(index);
    if (!evaluated) throw new Error(`stage ${index} was not evaluated`);
    const built = this.#stages.get(index) ?? buildStage(this, planned, evaluated.steps, signal);
    this.#stages.set(index, built);
    return built;
  }

  /** The image that a name stands for, as soon as it is there. */
  async imageOf(source: Source): Promise<ImageState> {
    if (source.kind === "scratch") return emptyImage(this.scope.platform);
    if (source.kind !== "stage") return (await this.#image(source)).state;
    const built = this.#stages.get(source.index);
    if (!built) throw new Error(`stage ${source.index} was not begun`);
    return built;
  }

  stepContext(planned: PlannedStage, number: number, signal: AbortSignal): StepContext {
    const { noCache = false, noCacheFilter = [], onProgress } = this.#options;
    return {
      ...this.#common(),
      cache: this.#records.of(planned.stage.index, this.#cache),
      useCache: !noCache && !isNamedBy(noCacheFilter, planned.stage),
      openSource: (from) => this.#openSource(from, planned),
      onOutput: (stream, bytes) => this.#progress.output(number, stream, bytes),
      work: { onProgress, signal },
    };
  }

  /** What is the same for all steps. */
  #common(): Omit<StepContext, "useCache" | "openSource" | "work"> {
    const { egress = DEFAULT_EGRESS, secrets = {}, ssh = {}, onFailedCommand } = this.#options;
    return {
      machines: () => this.#openMachines(),
      cache: this.#cache,
      layers: this.#layers,
      egress,
      remote: this.#remote,
      settings: commandSettings(this.#options),
      runTimeoutMs: this.#options.runTimeoutMs,
      keepFailed: onFailedCommand && ((command) => this.#keepFailed(command)),
      secrets,
      ssh,
      now: Math.floor(Date.now() / 1000),
      onOutput: () => undefined,
    };
  }

  /** The first command that failed, with its machine as it was; whoever takes it disposes of it. */
  takeFailed(): KeptCommand | undefined {
    const failed = this.#failed;
    this.#failed = undefined;
    return failed;
  }

  async #keepFailed(command: KeptCommand): Promise<void> {
    if (this.#failed) await command[Symbol.asyncDispose]();
    else this.#failed = command;
  }

  /** Only a build that runs something needs QEMU and a kernel. */
  #openMachines(): Promise<BuildMachines> {
    this.#machines ??= openRuntime(this.#options).then(
      (runtime) => new BuildMachines(runtime, machineSize(), parallelism()),
    );
    return this.#machines;
  }

  async #openSource(from: string | undefined, { sources }: PlannedStage): Promise<StepSource & Disposable> {
    if (from === undefined) return this.#context.open(this.#digests);
    const source = sources.get(from);
    if (!source) throw new UsageError(`${from} is neither a stage nor an image that was planned`);
    const context = source.kind === "context" ? this.#contextOf(source.name) : undefined;
    if (context?.kind === "folder") return await this.#folderSource(from, context.path);
    const image = await this.imageOf(source);
    const paths = image.layers.map(({ path }) => path);
    const tree = new LayerTree(`the ${source.kind} ${from}`, paths);
    return { tree, key: filesKey(image), layers: image.layers, [Symbol.dispose]: () => tree[Symbol.dispose]() };
  }
}

/** Whether one of the texts is the stage's name or index. */
function isNamedBy(texts: readonly string[], { name, index }: Stage): boolean {
  return texts.some((text) => text === String(index) || text.toLowerCase() === name?.toLowerCase());
}
