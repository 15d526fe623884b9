import type { ResourceLimit } from "../../guest/index.js";
import type { EgressPolicy } from "../../network/index.js";
import type { Remote } from "../../remote/index.js";
import type { LayerStore } from "../../rootfs/index.js";
import type { StepCache } from "../cache.js";
import type { KeptCommand } from "../failed-command.js";
import type { BuildMachines } from "../machine.js";
import type { MountContext, MountSource } from "../mounts/index.js";
import type { StepResult } from "../step-entry.js";

/** A tree that a step takes files from, and what names all of its files at once, where that is known. */
export type StepSource = MountSource;

/** What `--ulimit`, `--shm-size` and `--add-host` ask for. */
export interface CommandSettings {
  rlimits: readonly ResourceLimit[];
  shmBytes: number | undefined;
  hosts: Readonly<Record<string, string>>;
}

/** What a step is done with. */
export interface StepContext extends MountContext {
  machines: () => Promise<BuildMachines>;
  cache: Pick<StepCache, "find" | "keep" | "holdStep">;
  /** Whether the cache may be asked. */
  useCache: boolean;
  layers: LayerStore;
  egress: EgressPolicy;
  /** What ADD fetches. */
  remote: Remote;
  /** What commands find around them. */
  settings: CommandSettings;
  /** Milliseconds that a command may take; it is no part of its key. */
  runTimeoutMs: number | undefined;
  /** Takes what a failed command had; without it nothing is kept. */
  keepFailed: ((command: KeptCommand) => Promise<void>) | undefined;
  onOutput: (stream: "stdout" | "stderr", bytes: Buffer) => void;
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
  // Another build, or another stage of this one, may be doing the same.
  await using _step = context.useCache ? await context.cache.holdStep(key, context.work.signal) : undefined;
  const meanwhile = context.useCache ? await context.cache.find(key) : undefined;
  if (meanwhile) return { ...meanwhile, cached: true };
  const result = { layer: await make(), createdAt: new Date().toISOString() };
  await context.cache.keep(key, result);
  return { ...result, cached: false };
}
