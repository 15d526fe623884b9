import { join } from "node:path";
import type { Writable } from "node:stream";
import {
  type BuildScope,
  buildScope,
  type EvaluatedStage,
  parseDockerfile,
  unusedBuildArgs,
} from "../dockerfile/index.js";
import { UsageError } from "../errors.js";
import type { Image } from "../image/index.js";
import { openRuntime } from "../machine/index.js";
import { checkPolicy } from "../network/index.js";
import { parsePlatform } from "../oci/index.js";
import { home, lease } from "../store/index.js";
import { together } from "../together.js";
import type { BuildProgress } from "./build-progress.js";
import { BuildSession } from "./build-session.js";
import type { KeptCommand } from "./failed-command.js";
import { fetchContext } from "./fetch-context.js";
import type { ImageState } from "./image-state.js";
import { REMOTE } from "./kept-by-builds.js";
import { folderContext, isRemote, shownContext } from "./main-context.js";
import { type BuildOptions, checkRunTimeout, commandSettings, sourceDateEpoch } from "./options.js";
import { type BuildOutput, imageNames, STDOUT, type WrittenOutput, writeOutput } from "./output/index.js";
import { bakeResult, namesOf } from "./result.js";
import { checkCacheTarget, exportCache, ImportedCache } from "./shared-cache/index.js";

/** A finished build. */
export interface BuiltImage {
  /** Ready to start. */
  image: Image;
  /** Digest of its configuration, which docker calls the image's id. */
  id: string;
  /** Of its snapshots. */
  names: string[];
  /** How many instructions there were, and how many of them were found. */
  steps: { total: number; cached: number };
}

/**
 * Builds an image from a Dockerfile. Each command runs in a microVM; what it writes becomes a layer, which later builds find. Independent
 * stages are built at the same time.
 * @throws DockerfileError for a mistake in the Dockerfile, BuildError for an instruction that failed; UsageError, ImageError, VmError
 */
export async function buildImage(options: BuildOptions): Promise<BuiltImage> {
  namesOf(options);
  return whenBuilt(options, async (state, { total, cached }) => {
    const result = await bakeResult(await openRuntime(options), state, {
      ...options,
      reference: `dockerfile:${shownContext(options)}`,
    });
    return { ...result, steps: { total, cached } };
  });
}

/** How a build is written to files. */
export interface ExportOptions extends BuildOptions {
  outputs: readonly BuildOutput[];
  /**
   * Seconds since 1970: no file and no document says that it is newer, so that a build of the same gives the same bytes. By default what the
   * build argument or the variable `SOURCE_DATE_EPOCH` says.
   */
  sourceDateEpoch?: number | undefined;
  /** Where the destination `-` leads; by default this process's standard output. */
  stdout?: Writable | undefined;
}

/** A build that was written to files. */
export interface ExportedBuild {
  outputs: WrittenOutput[];
  steps: BuiltImage["steps"];
}

/**
 * Builds as {@link buildImage} does, and writes the image to files or folders instead of baking it. Its names are those that an archive has.
 * @throws as {@link buildImage}, CopyError
 */
export async function exportBuild(options: ExportOptions): Promise<ExportedBuild> {
  const { outputs, names = [], stdout = process.stdout, signal, onProgress } = options;
  imageNames(names);
  checkStdout(outputs, stdout);
  const latest = options.sourceDateEpoch ?? sourceDateEpoch(options);
  return whenBuilt(options, async (state, { total, cached }) => {
    const written: WrittenOutput[] = [];
    for (const output of outputs)
      written.push(await writeOutput(state, output, { names, latest, stdout, signal, onProgress }));
    return { outputs: written, steps: { total, cached } };
  });
}

/** @throws UsageError when nothing could take what is written to standard output */
function checkStdout(outputs: readonly BuildOutput[], stdout: Writable): void {
  const toStdout = outputs.filter(({ dest }) => dest === STDOUT);
  if (toStdout.length > 1) throw new UsageError("two outputs cannot both go to standard output");
  if (toStdout.length === 0 || !("isTTY" in stdout && stdout.isTTY)) return;
  throw new UsageError(`type=${toStdout[0]?.type} would be written to the terminal`, {
    hint: "Redirect standard output to a file or a pipe, or write dest=PATH.",
  });
}

/** Uses what was built while its layers are sure to stay. */
async function whenBuilt<T>(
  options: BuildOptions,
  use: (state: ImageState, progress: BuildProgress) => Promise<T>,
): Promise<T> {
  if (options.egress !== undefined) checkPolicy(options.egress);
  commandSettings(options);
  checkRunTimeout(options);
  // Nothing refers to the layers of a build before its image is baked, and what it fetches is read when it copies.
  await using _lease = await lease([home().layers, join(home().builds, REMOTE)], options.signal);
  const context = isRemote(options) ? await fetchContext(options) : await folderContext(options);
  const file = parseDockerfile(context.dockerfile, { fileName: options.file ?? "Dockerfile" });
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
  const { buildArgs, target } = options;
  const scope = buildScope(file, { buildArgs, target, platform });
  for (const place of options.cacheTo ?? []) await checkCacheTarget(place);
  await using imported = await importCaches(options);
  using session = await BuildSession.begin(scope, options, imported.caches, context);
  const { plan, evaluated } = await session.plan();
  warn(scope, evaluated, options);
  const tasks = plan.stages.map((stage) => (signal: AbortSignal) => session.stage(stage, signal));
  const states = await together(options.signal, tasks).catch(async (error: unknown) => {
    await showFailed(session.takeFailed(), options);
    throw error;
  });
  await session.keepDigests();
  const made = await use(withLabels(states.at(-1) as ImageState, options), session.progress);
  const { registryAuth, signal, onProgress } = options;
  for (const place of options.cacheTo ?? []) {
    await exportCache(session.records(place.mode ?? "min", plan), place, { registryAuth, signal, onProgress });
  }
  return made;
}

/** Caches of other machines, for as long as the build lasts. */
async function importCaches(options: BuildOptions): Promise<AsyncDisposable & { caches: ImportedCache[] }> {
  const { cacheFrom = [], file = "Dockerfile", registryAuth, signal, onBuild } = options;
  const warn = (message: string) => onBuild?.({ kind: "warning", rule: "CacheImport", message, file, line: 1 });
  const opened = await Promise.all(cacheFrom.map((each) => ImportedCache.open(each, { registryAuth, signal, warn })));
  const caches = opened.filter((cache) => cache !== undefined);
  return {
    caches,
    async [Symbol.asyncDispose]() {
      await Promise.all(caches.map((cache) => cache[Symbol.asyncDispose]()));
    },
  };
}

/** When nothing else of the build runs any more. */
async function showFailed(kept: KeptCommand | undefined, { onFailedCommand, signal }: BuildOptions): Promise<void> {
  if (!kept) return;
  await using failed = kept;
  if (!signal?.aborted) await onFailedCommand?.(failed);
}

function withLabels(state: ImageState, { labels = {} }: BuildOptions): ImageState {
  if (Object.keys(labels).length === 0) return state;
  return { ...state, config: { ...state.config, Labels: { ...state.config.Labels, ...labels } } };
}

function warn(scope: BuildScope, stages: readonly EvaluatedStage[], { onBuild }: BuildOptions): void {
  const all = [...scope.file.warnings, ...scope.warnings, ...stages.flatMap(({ warnings }) => warnings)];
  for (const { rule, message, location } of all) {
    onBuild?.({ kind: "warning", rule, message, file: location.file, line: location.line });
  }
  for (const name of unusedBuildArgs(scope)) {
    onBuild?.({
      kind: "warning",
      rule: "UnusedBuildArg",
      message: `no ARG declares the build argument ${name}`,
      file: scope.file.file,
      line: 1,
    });
  }
}
