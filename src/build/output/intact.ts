import { CacheInvalidError } from "../../errors.js";
import { LayerStore, type StoredLayer } from "../../rootfs/index.js";
import { home } from "../../store/index.js";

/**
 * Makes sure that a layer is as it was written, before it is copied elsewhere, where nothing could tell any longer.
 * @throws CacheInvalidError
 */
export async function requireIntact({ path, diffId }: StoredLayer, signal: AbortSignal | undefined): Promise<void> {
  const problem = await new LayerStore(home().layers).verify(path, { signal });
  if (problem === undefined) return;
  throw new CacheInvalidError(`the layer ${diffId} is damaged: ${problem}`, {
    hint: "`supermachine doctor --fix` removes it; the next build or pull makes it anew.",
  });
}
