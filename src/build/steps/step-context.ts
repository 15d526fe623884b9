import type { EgressPolicy } from "../../network/index.js";
import type { LongWork } from "../../progress.js";
import type { LayerStore } from "../../rootfs/index.js";
import type { StepCache, StepResult } from "../cache.js";
import type { BuildMachines } from "../machine.js";
import type { SourceTree } from "../tree/index.js";

/** A tree that a step takes files from, and what names all of its files at once, where that is known. */
export interface StepSource {
  tree: SourceTree;
  key: string | undefined;
}

/** What a step is done with. */
export interface StepContext {
  machines: () => Promise<BuildMachines>;
  cache: StepCache;
  /** Whether the cache may be asked. */
  useCache: boolean;
  layers: LayerStore;
  egress: EgressPolicy;
  /** The context, a stage or an image, to be disposed of. */
  openSource: (from: string | undefined) => Promise<StepSource & Disposable>;
  /** Seconds since 1970: the time that new folders get. */
  now: number;
  onOutput: (stream: "stdout" | "stderr", bytes: Buffer) => void;
  work: LongWork;
}

/** What a step brought about, and whether it was found. */
export interface StepOutcome extends StepResult {
  cached: boolean;
}

/** Finds what a step has brought about before, or does it and remembers it. */
export async function doOnce(
  context: StepContext,
  key: string,
  make: () => Promise<StepResult["layer"]>,
): Promise<StepOutcome> {
  const found = context.useCache ? await context.cache.find(key) : undefined;
  if (found) return { ...found, cached: true };
  const result = { layer: await make(), createdAt: new Date().toISOString() };
  await context.cache.keep(key, result);
  return { ...result, cached: false };
}
