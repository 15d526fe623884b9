import type { AddedLayer, LayerStore, StoredLayer } from "../../rootfs/index.js";
import { copyFiles, draftLayer, LayerDraft } from "../copy/index.js";
import { LayerTree } from "../tree/index.js";
import { requireIntact } from "./intact.js";

/**
 * One layer with all that a stack of layers shows, and nothing that is hidden or removed in it.
 * @throws CacheInvalidError when one of them is damaged
 */
export async function flatten(
  layers: readonly StoredLayer[],
  store: LayerStore,
  signal: AbortSignal | undefined,
): Promise<AddedLayer> {
  for (const layer of layers) await requireIntact(layer, signal);
  using nothing = new LayerTree("nothing", []);
  const paths = layers.map(({ path }) => path);
  using tree = new LayerTree("the image", paths);
  const draft = await LayerDraft.begin(nothing);
  const root = await tree.root();
  const rules = { destination: "/", owner: undefined, mode: undefined, now: root.mtimeSeconds };
  await copyFiles(draft, tree, [{ node: root, name: "", names: [] }], rules);
  draft.root.attributes = root;
  return await store.add(draftLayer(draft), signal);
}
