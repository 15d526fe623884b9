import { createReadStream, createWriteStream } from "node:fs";
import { resolve } from "node:path";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { UsageError } from "../../errors.js";
import { saveOrigin } from "../../image/index.js";
import { COPY_DISK } from "../../machine/index.js";
import { formatReference, type ImageNames, parseReference } from "../../oci/index.js";
import type { LongWork } from "../../progress.js";
import { LayerStore, layerArchive, type StoredLayer, writeArchiveImage } from "../../rootfs/index.js";
import { acquireLock, explainingNoSpace, home, openScratch, replace } from "../../store/index.js";
import { extractArchive } from "../../vm/index.js";
import type { ImageState } from "../image-state.js";
import { flatten } from "./flatten.js";
import { builtImageOrigin } from "./image-origin.js";
import { type BuildOutput, STDOUT } from "./output.js";
import { writeSquashfs } from "./squashfs.js";

/** An output that was written. */
export interface WrittenOutput {
  type: BuildOutput["type"];
  /** `-` is standard output. */
  path: string;
  /** Of `oci` and `docker`: the digest of the written configuration, which docker calls the image's id. */
  id?: string | undefined;
  /** Of `oci` and `docker`: the digest of the manifest. */
  digest?: string | undefined;
}

/** How outputs are written. */
export interface OutputOptions extends LongWork {
  /** What the image is called, as `app`, `org/app:1.0` or `registry.example/app:1.0`. */
  names: readonly string[];
  /** Seconds since 1970: nothing in the output says that it is newer, so that another build gives the same bytes. */
  latest: number | undefined;
  /** Where the destination `-` leads. */
  stdout: Writable;
}

/** Writes a built image to a file or a folder, beside its place first. @throws UsageError, NoSpaceError, CopyError */
export async function writeOutput(
  state: ImageState,
  output: BuildOutput,
  options: OutputOptions,
): Promise<WrittenOutput> {
  const { type, dest } = output;
  if (dest === STDOUT) return writeToStdout(state, output, options);
  const path = resolve(dest);
  if (type === "oci" || type === "docker") return writeImage(state, output, options);
  const { latest, signal } = options;
  const { path: layer } = await oneLayer(state, signal);
  if (type === "local") await extractArchive(layerArchive(layer, latest), path, { signal });
  else {
    await using _lock = await acquireLock(`${path}.lock`, signal);
    await explainingNoSpace(path, () =>
      replace(path, async (partial) => {
        const archive = () => layerArchive(layer, latest);
        if (type === "erofs") await writeArchiveImage(archive(), partial, signal);
        else if (type === "squashfs") await writeSquashfs(archive, partial, latest, signal);
        else await pipeline(archive(), createWriteStream(partial, { flags: "wx" }), signal ? { signal } : {});
      }),
    );
  }
  return { type, path };
}

/** Most forms begin with what is known in the end, so that they are a file first. */
async function writeToStdout(state: ImageState, output: BuildOutput, options: OutputOptions): Promise<WrittenOutput> {
  const { latest, signal, stdout } = options;
  const how = { end: false, ...(signal && { signal }) };
  if (output.type === "tar") {
    const { path } = await oneLayer(state, signal);
    await pipeline(layerArchive(path, latest), stdout, how);
    return { type: "tar", path: STDOUT };
  }
  await using file = await openScratch(home().run, COPY_DISK);
  const written = await writeOutput(state, { ...output, dest: file.path }, options);
  await pipeline(createReadStream(file.path), stdout, how);
  return { ...written, path: STDOUT };
}

async function writeImage(state: ImageState, output: BuildOutput, options: OutputOptions): Promise<WrittenOutput> {
  const { type, dest, tar = true, squash = false } = output;
  const { latest, signal, onProgress } = options;
  const format = type === "docker" ? "docker-archive" : tar ? "oci-archive" : "oci-layout";
  const squashed = squash && state.layers.length > 0 ? await squashedState(state, signal) : state;
  await using origin = await builtImageOrigin("the built image", squashed, latest, signal);
  const platform = { ...state.platform, variant: state.platform.variant };
  const names = imageNames(options.names);
  const saved = await saveOrigin(origin, dest, { format, names, platform, signal, onProgress });
  return { type, path: saved.path, id: origin.id, digest: saved.digest };
}

/** @throws UsageError for what no registry could have */
export function imageNames(names: readonly string[]): ImageNames[] {
  if (names.length === 0) return [{ tag: "latest" }];
  const found = names.map((name) => {
    const { registry, repository, tag, digest } = parseReference(name);
    if (tag === undefined || digest !== undefined) throw new UsageError(`${name} is not the name of what is built`);
    return { tag, full: formatReference({ registry, repository, tag }) };
  });
  return [...new Map(found.map((each) => [each.full, each])).values()];
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
