import { basename, join, resolve } from "node:path";
import { ImageError, UsageError } from "../errors.js";
import { formatReference, parseImageSource, parseReference, type RegistryReference } from "../oci/index.js";
import { home, isEntry } from "../store/index.js";

const PLAIN = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$/;
/** Of a folder in the store; what is half-made beside it has a longer name, and 255 bytes is what file systems have. */
const MOST_FOLDER_BYTES = 220;

/**
 * The snapshot's name that a text stands for: a plain name is itself, an image's name is what docker shows of it. So `app:latest` and
 * `docker.io/library/app` are `app`, and `registry.example/team/app:1.0` stays as it is.
 * @throws UsageError when it cannot be a snapshot's name
 */
export function checkName(text: string): string {
  const name = snapshotName(text);
  if (name !== undefined) return name;
  throw new UsageError(`${JSON.stringify(text)} cannot be a snapshot's name`, {
    hint: "A name is one as docker has them, such as app, app:1.0 or registry.example/team/app:1.0; it does not end in .lock or .partial.",
  });
}

/** Whether a text that a user typed could be a snapshot's name. */
export function isName(text: string): boolean {
  return snapshotName(text) !== undefined;
}

/** The folder of the snapshot of a name. @throws UsageError when it cannot be a name */
export function namedFolder(name: string, snapshots = home().snapshots): string {
  return join(snapshots, folderOf(checkName(name)));
}

/** The folder of the snapshot that `text` may name or lead to. No image's name begins like a path. */
export function snapshotFolder(
  text: string,
  { snapshotsDir }: { snapshotsDir?: string | undefined },
): string | undefined {
  if (/^\.{0,2}\//.test(text)) return resolve(text);
  return isName(text) ? namedFolder(text, snapshotsDir) : undefined;
}

/** The name of the snapshot in a folder: that which leads to it, else what the folder is called. */
export function nameOfFolder(folder: string): string {
  const own = basename(folder);
  try {
    const name = decodeURIComponent(own);
    return snapshotName(name) === name ? name : own;
  } catch {
    return own;
  }
}

/** What VMs and services of a snapshot are called after it: `python-0123456789ab` is `python`, `example.org/team/app:1.0` is `app`. */
export function shortName(name: string): string {
  return name
    .replace(/^.*\//, "")
    .replace(/:.*$/, "")
    .replace(/-[0-9a-f]{12}$/, "");
}

function snapshotName(text: string): string | undefined {
  const name = PLAIN.test(text) ? text : familiarName(text);
  if (name === undefined) return undefined;
  const folder = folderOf(name);
  return folder.length <= MOST_FOLDER_BYTES && isEntry(folder) ? name : undefined;
}

/** Colons and slashes are what a plain name does not have: no two names have one folder. */
function folderOf(name: string): string {
  return encodeURIComponent(name);
}

/** Without what docker leaves out, as long as it means the same then. */
function familiarName(text: string): string | undefined {
  const reference = registryReference(text);
  if (reference === undefined || reference.digest !== undefined) return undefined;
  const full = formatReference(reference);
  const short = full.replace(/^docker\.io\/(?:library\/(?=[^/]*$))?/, "").replace(/:latest$/, "");
  return formatReference(parseReference(short)) === full ? short : full;
}

/** What begins like a file or an engine (`oci-layout:`, `docker:`) means that. */
function registryReference(text: string): RegistryReference | undefined {
  try {
    const source = parseImageSource(text, () => false);
    return source.kind === "registry" ? source.reference : undefined;
  } catch (error) {
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}
