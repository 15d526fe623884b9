import { chmod, link, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CacheMissError, UsageError } from "../../errors.js";
import type { Runtime, Template } from "../../machine/index.js";
import { copySparse } from "../../memory/index.js";
import type { LongWork } from "../../progress.js";
import { acquireLock, replace } from "../../store/index.js";
import { publicReference, requireKnownFiles } from "../artifact/snapshot-files.js";
import { leaseFor } from "../bake-once.js";
import { Image } from "../image.js";
import { METADATA_FILE, readMetadata, type SnapshotMetadata, writeMetadata } from "../metadata.js";
import type { BakeOptions } from "../options.js";
import { requireTemplate } from "../required-template.js";
import { snapshotFiles } from "../root-disk-file.js";
import { listImages } from "../snapshots.js";
import { digestOfFile } from "./check-bundle.js";
import { BUNDLE_FILE, type Bundle, type BundleFile, PLACES, readBundle } from "./format.js";
import { runtimeOf } from "./open-bundle.js";

/** How a bundle is made. */
export interface BundleOptions extends BakeOptions {
  /**
   * Hard-links what never changes (layers, kernel, agent) to the store instead of copying it. It takes no space, but the mode and
   * owner of such a file are those of the store's.
   */
  link?: boolean | undefined;
}

/** A bundle that was made. */
export interface BundleSummary {
  path: string;
  /** Name of the snapshot in it. */
  name: string;
  /** The QEMU that another machine has to have. */
  qemu: string;
  architecture: "x64" | "arm64";
  accelerator: string;
  /** What it takes on disk; its files are longer, since the template's RAM is sparse. */
  bytes: number;
}

interface Part {
  from: string;
  /** Below the bundle's folder. */
  path: string;
  linkable: boolean;
}

/**
 * Writes a snapshot, with everything that it needs but QEMU, to a folder that {@link Image.fromSnapshot} runs anywhere: moved, on
 * another machine, read-only (docs/bundles.md). It is written beside its place and renamed.
 * @param source as for {@link Image.open}: a snapshot, or an image, which is baked first; `undefined` for the only snapshot there is
 * @param destination a folder that is not there yet
 * @throws UsageError, NoSpaceError, CacheInvalidError, CacheMissError, and what opening the image throws
 */
export async function bundleImage(
  source: string | undefined,
  destination: string,
  options: BundleOptions = {},
): Promise<BundleSummary> {
  const path = resolve(destination);
  if (await stat(path).catch(() => undefined))
    throw new UsageError(`${path} is there already`, { hint: "Name a new folder." });
  const image = await Image.open(source ?? (await onlySnapshot(options)), options);
  const folder = image.snapshotPath;
  if (await readBundle(folder)) throw new UsageError(`${folder} is a bundle already`, { hint: "Copy the folder." });
  const metadata = await readMetadata(folder);
  await requireKnownFiles(folder, metadata);
  const runtime = await runtimeOf(folder, options);
  const layers = metadata.layers.map((layer) => layer.path);
  await using _lease = await leaseFor(layers, options.signal);
  const template = await requireTemplate(runtime, metadata, folder, options.signal);
  await using _lock = await acquireLock(`${path}.lock`, options.signal);
  await replace(path, async (partial) => {
    const parts = partsOf(folder, metadata, template, runtime);
    const files = await copyParts(partial, parts, options).catch(explainMissing);
    files.push(await describeSnapshot(partial, metadata, parts));
    await writeFile(join(partial, BUNDLE_FILE), JSON.stringify(bundleOf(runtime, files), null, 2), { mode: 0o644 });
  });
  const { architecture, qemu } = runtime.assets;
  const { accelerator } = metadata.template;
  return { path, name: metadata.name, qemu: qemu.version, architecture, accelerator, bytes: await diskBytes(path) };
}

async function onlySnapshot({ snapshotsDir }: BundleOptions): Promise<string> {
  const [first, ...others] = await listImages(snapshotsDir);
  if (first && others.length === 0) return first.name;
  throw new UsageError(first ? "there are several snapshots" : "there is no snapshot", {
    hint: "Name one, or an image: `supermachine images` lists the snapshots.",
  });
}

function partsOf(folder: string, metadata: SnapshotMetadata, template: Template, { assets }: Runtime): Part[] {
  const { layers } = metadata;
  const distinct = [...new Set(layers.map(({ path }) => path))];
  return [
    ...snapshotFiles(metadata).map((file) => ({ from: join(folder, file), path: file, linkable: false })),
    { from: template.ram, path: PLACES.ram, linkable: false },
    { from: template.deviceState, path: PLACES.templateState, linkable: false },
    ...distinct.map((from, i) => ({ from, path: `${PLACES.layers}/${i}.erofs`, linkable: true })),
    ...[assets.kernel.vmlinuz, assets.initramfs].map((from) => ({
      from,
      path: `${PLACES.kernel}/${basename(from)}`,
      linkable: true,
    })),
  ];
}

async function copyParts(to: string, parts: readonly Part[], options: BundleOptions): Promise<BundleFile[]> {
  const files: BundleFile[] = [];
  for (const { from, path, linkable } of parts) {
    const { size } = await stat(from);
    const step = { phase: "bundle" as const, item: path, total: size };
    options.onProgress?.(step);
    await mkdir(dirname(join(to, path)), { recursive: true, mode: 0o755 });
    await place(from, join(to, path), linkable && options.link === true, options);
    files.push({ path, bytes: size, digest: await digestOfFile(join(to, path), options.signal) });
    options.onProgress?.({ ...step, done: size, finished: true });
  }
  return files;
}

async function place(from: string, to: string, linked: boolean, { signal }: LongWork): Promise<void> {
  // Another file system, or one without links: then it is copied, as what must not be linked.
  if (
    linked &&
    (await link(from, to).then(
      () => true,
      () => false,
    ))
  )
    return;
  await copySparse(from, to, signal);
  await chmod(to, 0o644);
}

/** Everything in it is found from the bundle's own folder, and nothing says where it was made. */
async function describeSnapshot(
  folder: string,
  { schema: _, ...metadata }: SnapshotMetadata,
  parts: readonly Part[],
): Promise<BundleFile> {
  const places = new Map(parts.map(({ from, path }) => [from, path]));
  const layers = metadata.layers.map((layer) => ({ ...layer, path: places.get(layer.path) ?? layer.path }));
  const reference = publicReference(metadata.reference) ?? metadata.name;
  await writeMetadata(folder, { ...metadata, reference, layers, bundled: true });
  const file = join(folder, METADATA_FILE);
  await chmod(file, 0o644);
  return { path: METADATA_FILE, bytes: (await stat(file)).size, digest: await digestOfFile(file) };
}

function bundleOf({ assets }: Runtime, files: BundleFile[]): Bundle {
  const { architecture, qemu, kernel, initramfs } = assets;
  return {
    schema: 1,
    createdAt: new Date().toISOString(),
    architecture,
    qemu: qemu.version,
    kernel: { name: kernel.name, digest: kernel.digest, path: `${PLACES.kernel}/${basename(kernel.vmlinuz)}` },
    initramfs: `${PLACES.kernel}/${basename(initramfs)}`,
    files,
  };
}

async function diskBytes(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true });
  const facts = await Promise.all(names.map((name) => stat(join(folder, name))));
  return facts.reduce((sum, { blocks }) => sum + blocks * 512, 0);
}

/** Whoever removes a snapshot while it is copied. */
function explainMissing(cause: NodeJS.ErrnoException): never {
  if (cause.code !== "ENOENT") throw cause;
  throw new CacheMissError(`${cause.path} is missing`, { cause, hint: "Bake the image anew: run it once." });
}
