import { createWriteStream } from "node:fs";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { UsageError } from "../../errors.js";
import { saveOrigin } from "../../image/index.js";
import { formatReference, type ImageNames, parseReference } from "../../oci/index.js";
import type { LongWork } from "../../progress.js";
import { LayerStore, layerArchive, type StoredLayer, writeArchiveImage } from "../../rootfs/index.js";
import { acquireLock, explainingNoSpace, home, replace } from "../../store/index.js";
import { extractArchive } from "../../vm/index.js";
import type { ImageState } from "../image-state.js";
import { flatten } from "./flatten.js";
import { builtImageOrigin } from "./image-origin.js";
import type { BuildOutput } from "./output.js";

/** An output that was written. */
export interface WrittenOutput {
  type: BuildOutput["type"];
  path: string;
  /** Of `oci` and `docker`: the digest of the written configuration, which docker calls the image's id. */
  id?: string | undefined;
  /** Of `oci` and `docker`: the digest of the manifest. */
  digest?: string | undefined;
}

/** How outputs are written. */
export interface OutputOptions extends LongWork {
  /** What the image is called, as `app`, `org/app:1.0` or `registry.example/app:1.0`. */
  name: string | undefined;
  /** Seconds since 1970: nothing in the output says that it is newer, so that another build gives the same bytes. */
  latest: number | undefined;
}

/** Writes a built image to a file or a folder, beside its place first. @throws UsageError, NoSpaceError, CopyError */
export async function writeOutput(
  state: ImageState,
  output: BuildOutput,
  options: OutputOptions,
): Promise<WrittenOutput> {
  const { type, dest } = output;
  const path = resolve(dest);
  if (type === "oci" || type === "docker") return writeImage(state, output, options);
  const { latest, signal } = options;
  const { path: layer } = await oneLayer(state, signal);
  if (type === "local") await extractArchive(layerArchive(layer, latest), path, { signal });
  else {
    await using _lock = await acquireLock(`${path}.lock`, signal);
    await explainingNoSpace(path, () =>
      replace(path, async (partial) => {
        const archive = layerArchive(layer, latest);
        if (type === "erofs") await writeArchiveImage(archive, partial, signal);
        else await pipeline(archive, createWriteStream(partial, { flags: "wx" }), signal ? { signal } : {});
      }),
    );
  }
  return { type, path };
}

async function writeImage(state: ImageState, output: BuildOutput, options: OutputOptions): Promise<WrittenOutput> {
  const { type, dest, tar = true, squash = false } = output;
  const { latest, signal, onProgress } = options;
  const format = type === "docker" ? "docker-archive" : tar ? "oci-archive" : "oci-layout";
  const squashed = squash && state.layers.length > 0 ? await squashedState(state, signal) : state;
  await using origin = await builtImageOrigin("the built image", squashed, latest, signal);
  const platform = { ...state.platform, variant: state.platform.variant };
  const names = imageNames(options.name);
  const saved = await saveOrigin(origin, dest, { format, names, platform, signal, onProgress });
  return { type, path: saved.path, id: origin.id, digest: saved.digest };
}

/** @throws UsageError for what no registry could have */
export function imageNames(name: string | undefined): ImageNames {
  if (name === undefined) return { tag: "latest" };
  const { registry, repository, tag, digest } = parseReference(name);
  if (tag === undefined || digest !== undefined) throw new UsageError(`${name} is not the name of what is built`);
  return { tag, full: formatReference({ registry, repository, tag }) };
}

/** Its history still says what each instruction was; the last one has the layer. */
async function squashedState(state: ImageState, signal: AbortSignal | undefined): Promise<ImageState> {
  const layer = await oneLayer(state, signal);
  const lines = state.history.map((line) => ({ ...line, empty_layer: true }));
  const merged = { created: state.createdAt, created_by: "merge of all layers" };
  return { ...state, layers: [layer], history: [...lines, merged] };
}

function oneLayer(state: ImageState, signal: AbortSignal | undefined): Promise<StoredLayer> {
  return flatten(state.layers, new LayerStore(home().layers), signal);
}
