import { listImages, readMetadata, type SnapshotSummary } from "../image/index.js";
import { home } from "../store/index.js";
import { contentBytes, diskBytes, unsharedBytes } from "./disk-usage.js";
import { identity } from "./references.js";

/** A snapshot with what it takes on disk, in bytes. Holes in files take nothing. */
export interface ImageUsage extends SnapshotSummary {
  disk: {
    /** The snapshot itself: memory delta, device state, metadata. */
    own: number;
    /** All its layers. */
    layers: number;
    /** Those of its layers that another snapshot has too. */
    sharedLayers: number;
    /** What removing it and then pruning would free: itself and the layers that only it has. */
    unique: number;
  };
}

/** What is on disk, in bytes. */
export interface StoreUsage {
  images: ImageUsage[];
  store: {
    root: string;
    snapshots: number;
    layers: number;
    templates: number;
    /** Manifests, configs and what tags meant. */
    documents: number;
    /** Kernel, agent, initramfs. */
    assets: number;
    volumes: number;
    /** What builds keep for later ones, without layers. */
    builds: number;
    total: number;
  };
}

interface LayerUse {
  bytes: number;
  /** How many snapshots have it. */
  images: number;
}

/** What every snapshot takes on disk, what it shares with others, and what the stores take in all. */
export async function diskUsage(): Promise<StoreUsage> {
  const summaries = await listImages();
  const uses = new Map<string, LayerUse>();
  const layersOf = new Map<SnapshotSummary, string[]>();
  for (const image of summaries) layersOf.set(image, await countLayers(image, uses));
  const images = summaries.map(async (image): Promise<ImageUsage> => {
    const [own, unshared] = await Promise.all([diskBytes(image.path), unsharedBytes(image.path)]);
    const layers = (layersOf.get(image) ?? []).map((layer) => uses.get(layer)).filter((use) => use !== undefined);
    const all = sum(layers);
    const sharedLayers = sum(layers.filter((use) => use.images > 1));
    return { ...image, disk: { own, layers: all, sharedLayers, unique: unshared + all - sharedLayers } };
  });
  return { images: await Promise.all(images), store: await storeTotals() };
}

/** Counts the layers of a snapshot, each once however often it is stacked; gives what identifies them. */
async function countLayers({ path }: SnapshotSummary, uses: Map<string, LayerUse>): Promise<string[]> {
  const metadata = await readMetadata(path).catch(() => undefined);
  const files = new Set<string>();
  for (const layer of metadata?.layers ?? []) {
    const file = await identity(layer.path);
    if (file === undefined || files.has(file)) continue;
    files.add(file);
    const use = uses.get(file) ?? { bytes: await diskBytes(layer.path), images: 0 };
    uses.set(file, { ...use, images: use.images + 1 });
  }
  return [...files];
}

async function storeTotals(): Promise<StoreUsage["store"]> {
  const { root, ...folders } = home();
  const [snapshots = 0, layers = 0, templates = 0, documents = 0, assets = 0, volumes = 0, builds = 0] =
    await Promise.all(
      [
        folders.snapshots,
        folders.layers,
        folders.templates,
        folders.blobs,
        folders.assets,
        folders.volumes,
        folders.builds,
      ].map(contentBytes),
    );
  const total = snapshots + layers + templates + documents + assets + volumes + builds;
  return { root, snapshots, layers, templates, documents, assets, volumes, builds, total };
}

function sum(uses: readonly LayerUse[]): number {
  return uses.reduce((total, { bytes }) => total + bytes, 0);
}
