import { open, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { UsageError } from "../errors.js";
import {
  type CopyOptions,
  type CopyResult,
  copyImage,
  formatReference,
  type ImageNames,
  type ImageOrigin,
  type ImageTarget,
  openArchiveTarget,
  openLayoutTarget,
  parseReference,
} from "../oci/index.js";
import { acquireLock, explainingNoSpace, replace } from "../store/index.js";
import { type CopySourceOptions, openCopySource, platformOf } from "./copy-source.js";
import { openDockerArchiveTarget } from "./docker-archive.js";

const FORMATS = ["oci-archive", "oci-layout", "docker-archive"] as const;

/** What an image is saved as: a tar file of an OCI layout, a folder of one, or what `docker load` of any age reads. */
export type SaveFormat = (typeof FORMATS)[number];

/** How an image is saved. */
export interface SaveOptions extends CopySourceOptions {
  /** By default `oci-layout` for a name that ends in a slash, else `oci-archive`. */
  format?: SaveFormat | undefined;
  /** What the image is called in the file; by default what the source calls it. */
  name?: string | undefined;
}

/** An image that was saved. */
export interface SavedImage extends Omit<CopyResult, "blobs"> {
  path: string;
  format: SaveFormat;
}

/**
 * Writes an image, or a snapshot as an artifact, to a file or a folder. It is written beside its place and renamed; a file
 * that is there is replaced, a folder is not.
 * @param source as for {@link pushImage}
 * @throws ImageError, ImageNotFoundError, NoSpaceError, UsageError, and what reading the source throws
 */
export async function saveImage(source: string, destination: string, options: SaveOptions = {}): Promise<SavedImage> {
  const { signal, onProgress, all } = options;
  const platform = platformOf(options);
  const format = formatOf(destination, options);
  const path = resolve(destination);
  await requirePlace(path, format);
  const { origin, name } = await openCopySource(source, options);
  await using from = origin;
  return await saveOrigin(from, path, { format, names: [namesOf(options, name)], all, platform, signal, onProgress });
}

/** How {@link saveOrigin} saves. */
export interface SaveOriginOptions extends Pick<CopyOptions, "all" | "platform" | "signal" | "onProgress"> {
  format: SaveFormat;
  /** At least one. */
  names: readonly ImageNames[];
}

/** The same with an image that is open. @param destination where nothing is, or a file that is replaced by a file */
export async function saveOrigin(
  origin: ImageOrigin,
  destination: string,
  { format, names, ...options }: SaveOriginOptions,
): Promise<SavedImage> {
  const path = resolve(destination);
  await requirePlace(path, format);
  await using _lock = await acquireLock(`${path}.lock`, options.signal);
  let copied: CopyResult | undefined;
  await explainingNoSpace(path, () =>
    replace(path, async (partial) => {
      await using place = await openPlace(partial, path, format, names);
      copied = await copyImage(origin, place.target, { ...options, phase: "save" });
    }),
  );
  if (copied === undefined) throw new UsageError(`${path} was not written`);
  const { digest, mediaType, size } = copied;
  return { path, format, digest, mediaType, size };
}

async function openPlace(
  partial: string,
  path: string,
  format: SaveFormat,
  names: readonly ImageNames[],
): Promise<AsyncDisposable & { target: ImageTarget }> {
  if (format === "oci-layout") {
    const target = await openLayoutTarget(partial, names);
    return { target, [Symbol.asyncDispose]: () => target[Symbol.asyncDispose]() };
  }
  const file = await open(partial, "wx", 0o644);
  const openTarget = format === "docker-archive" ? openDockerArchiveTarget : openArchiveTarget;
  return { target: openTarget(file, path, names), [Symbol.asyncDispose]: () => file.close() };
}

function formatOf(destination: string, { format }: SaveOptions): SaveFormat {
  if (destination === "") throw new UsageError("the destination is empty");
  if (format === undefined) return destination.endsWith("/") ? "oci-layout" : "oci-archive";
  if (FORMATS.includes(format)) return format;
  throw new UsageError(`${JSON.stringify(format)} is not a format`, { hint: `It is ${FORMATS.join(", ")}.` });
}

/** A folder could hold anything, and would be lost. */
async function requirePlace(path: string, format: SaveFormat): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || (found.isFile() && format !== "oci-layout")) return;
  throw new UsageError(`${path} is there already`, { hint: "Name a new one." });
}

function namesOf({ name }: SaveOptions, own: ImageNames | undefined): ImageNames {
  if (name === undefined) return own ?? { tag: "latest" };
  const { registry, repository, tag } = parseReference(name);
  if (tag === undefined) throw new UsageError(`${name} has no tag`);
  return { tag, full: formatReference({ registry, repository, tag }) };
}
