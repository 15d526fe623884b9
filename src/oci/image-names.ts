import { ImageError, ImageNotFoundError } from "../errors.js";
import { printable } from "./printable.js";
import { formatReference, parseReference } from "./reference.js";

/** One of several images of a layout or archive, with the names it has there, the fullest first. */
export interface Named<T> {
  names: readonly string[];
  value: T;
}

const MAX_LISTED = 30;

/**
 * Chooses by tag or name, or, where none is wanted, the only image there is. Several are returned only if they share
 * one name (or all have none): they are then the same image for several platforms.
 * @throws ImageNotFoundError or ImageError that lists what there is.
 */
export function chooseNamed<T>(entries: readonly Named<T>[], wanted: string | undefined, origin: string): T[] {
  if (entries.length === 0) throw new ImageNotFoundError(`${origin} holds no image`);
  const found = wanted === undefined ? entries : matching(entries, wanted);
  if (found.length === 0) {
    throw new ImageNotFoundError(`${origin}: there is no image ${wanted}`, { hint: listNames(entries) });
  }
  if (new Set(found.map(({ names }) => names[0])).size === 1) return found.map(({ value }) => value);
  const what = wanted === undefined ? "holds several images" : `has several images with the tag ${wanted}`;
  throw new ImageError(`${origin} ${what}, and it is not said which one is meant`, { hint: listNames(found) });
}

/** "Add one of these after a colon: ..." */
export function listNames(entries: readonly Named<unknown>[]): string {
  const all = [...new Set(entries.map(({ names }) => names[0]))].filter((name) => name !== undefined);
  if (all.length === 0) return "None of its images has a tag; name one by its digest: @sha256:...";
  const rest = all.length > MAX_LISTED ? `, and ${all.length - MAX_LISTED} more` : "";
  return `Write one of these after a colon: ${all.slice(0, MAX_LISTED).map(printable).join(", ")}${rest}`;
}

/** The same name, else the same name as docker reads it (`alpine` for `docker.io/library/alpine:latest`), else the tag. */
function matching<T>(entries: readonly Named<T>[], wanted: string): readonly Named<T>[] {
  const full = inFull(wanted);
  const tests = [
    (name: string) => name === wanted,
    (name: string) => full !== undefined && inFull(name) === full,
    (name: string) => tagOf(name) === wanted,
  ];
  for (const test of tests) {
    const found = entries.filter(({ names }) => names.some(test));
    if (found.length > 0) return found;
  }
  return [];
}

function inFull(name: string): string | undefined {
  try {
    return formatReference(parseReference(name));
  } catch {
    return undefined;
  }
}

function tagOf(name: string): string | undefined {
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(colon + 1) : undefined;
}
