import { join } from "node:path";
import { DEFAULT_EGRESS } from "../network/index.js";
import { hostPlatform } from "../oci/index.js";
import { Remote } from "../remote/index.js";
import { LayerStore } from "../rootfs/index.js";
import { home } from "../store/index.js";
import { emptyImage } from "./base.js";
import { StepCache } from "./cache.js";
import { REMOTE } from "./kept-by-builds.js";
import { fetchedContext, type MainContext, shownContext } from "./main-context.js";
import { type BuildOptions, commandSettings } from "./options.js";
import { copyStep, type StepContext } from "./steps/index.js";
import { wholeCopy } from "./whole-copy.js";

/** As what COPY takes from a context. */
const OWNER = "0:0";

/**
 * Fetches a context as ADD fetches its sources, and keeps it as a layer: nothing of it is ever a file of this machine.
 * @throws NetworkError, UsageError, ImageError
 */
export async function fetchContext(options: BuildOptions): Promise<MainContext> {
  const { context, egress = DEFAULT_EGRESS, secrets = {}, ssh = {}, noCache = false, signal, onProgress } = options;
  const layers = new LayerStore(home().layers);
  await using remote = new Remote(join(home().builds, REMOTE), egress);
  const none = () => {
    throw new Error("a context is fetched without machines and other sources");
  };
  const surroundings: StepContext = {
    machines: none,
    openSource: none,
    cache: new StepCache(layers),
    useCache: !noCache,
    layers,
    egress,
    remote,
    settings: commandSettings(options),
    runTimeoutMs: undefined,
    keepFailed: undefined,
    secrets,
    ssh,
    now: Math.floor(Date.now() / 1000),
    onOutput: () => undefined,
    work: { signal, onProgress },
  };
  const step = { phase: "fetch" as const, item: shownContext(options) };
  onProgress?.(step);
  const { layer } = await copyStep(surroundings, emptyImage(hostPlatform()), wholeCopy("add", context, OWNER));
  onProgress?.({ ...step, finished: true });
  return await fetchedContext(layer?.path, options);
}
