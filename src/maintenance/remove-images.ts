import { ImageError, ImageNotFoundError, UsageError } from "../errors.js";
import { checkName, isName, listImages, removeImage, type SnapshotSummary } from "../image/index.js";
import { forgetTag, formatImageSource, parseImageSource } from "../oci/index.js";

/** `sha256:` with at least six hexadecimal digits, or twelve and more of them alone: what `images` shows. */
const DIGEST = /^(?:sha256:[0-9a-f]{6,64}|[0-9a-f]{12,64})$/;

/** How {@link removeImages} removes. */
export interface RemoveOptions {
  /** Removes all that a reference or digest stands for, when that is more than one snapshot. */
  force?: boolean | undefined;
}

/**
 * Removes snapshots. Each of `names` is a snapshot's name, else the digest of a manifest or its beginning, else a reference. All
 * are looked up before the first is removed. VMs that run from them are not disturbed, in other processes neither. The layers
 * stay for a later pull, until `prune`; when the last snapshot of a reference goes, what its tag meant is forgotten.
 * @returns the snapshots that were removed
 * @throws ImageNotFoundError; UsageError when a name stands for several and `force` is not set, or for several images
 */
export async function removeImages(names: readonly string[], options: RemoveOptions = {}): Promise<SnapshotSummary[]> {
  const images = await listImages();
  const chosen = new Set<SnapshotSummary>();
  const damaged: string[] = [];
  for (const name of names) {
    const found = choose(name, images, options.force ?? false);
    for (const image of found) chosen.add(image);
    // What is damaged is in no list, and can still be removed by its name.
    if (found.length === 0) damaged.push(name);
  }
  for (const name of damaged) await removeDamaged(name);
  for (const { name } of chosen) await removeImage(name);
  const left = new Set((await listImages()).map(({ reference }) => normalized(reference)));
  for (const reference of new Set([...chosen].map((each) => normalized(each.reference)))) {
    if (!left.has(reference) && isSource(reference)) await forgetTag(reference);
  }
  return [...chosen];
}

function choose(name: string, images: readonly SnapshotSummary[], force: boolean): SnapshotSummary[] {
  const own = isName(name) ? checkName(name) : name;
  const named = images.filter((image) => image.name === own);
  if (named.length > 0) return named;
  const byDigest = DIGEST.test(name) ? images.filter((image) => hasDigest(image, name)) : [];
  const found = byDigest.length > 0 ? byDigest : images.filter((image) => isReference(image, name));
  if (found.length <= 1) return found;
  const candidates = found.map((each) => `${each.name} (${each.digest.slice(0, 19)}, ${each.reference})`).join("\n  ");
  if (byDigest.length > 0 && new Set(found.map(({ digest }) => digest)).size > 1) {
    throw new UsageError(`${name} is the beginning of several digests:\n  ${candidates}`, {
      hint: "Give more digits.",
    });
  }
  if (force) return found;
  throw new UsageError(`${name} stands for ${found.length} snapshots:\n  ${candidates}`, {
    hint: "Name one of them, or remove all with --force.",
  });
}

async function removeDamaged(name: string): Promise<void> {
  try {
    await removeImage(name);
  } catch (cause) {
    const isUnknown = cause instanceof ImageNotFoundError || (cause instanceof UsageError && isSource(name));
    if (!isUnknown) throw cause;
    throw new ImageNotFoundError(`there is no snapshot that ${name} names`, {
      cause,
      hint: "`supermachine images` lists their names, references and digests.",
    });
  }
}

function hasDigest({ digest }: SnapshotSummary, text: string): boolean {
  return digest.startsWith(text) || digest.slice("sha256:".length).startsWith(text);
}

/** A reference with a digest means the image of that content under that name, whichever tag it was pulled by. */
function isReference(image: SnapshotSummary, text: string): boolean {
  const [own, wanted] = [normalized(image.reference), normalized(text)];
  if (own === wanted) return true;
  const [name, digest] = wanted.split("@");
  return digest !== undefined && digest === image.digest && repositoryOf(own) === repositoryOf(name ?? "");
}

function repositoryOf(reference: string): string {
  return reference.replace(/@.*$/, "").replace(/:[^/:]*$/, "");
}

/** In full, as docker would: `python` is `docker.io/library/python:latest`. */
function normalized(reference: string): string {
  return isSource(reference) ? formatImageSource(parseImageSource(reference)) : reference;
}

function isSource(text: string): boolean {
  try {
    parseImageSource(text);
    return true;
  } catch (error) {
    if (error instanceof ImageError) return false;
    throw error;
  }
}
