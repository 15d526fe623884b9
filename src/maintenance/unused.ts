import { basename } from "node:path";
import { unusedAssets } from "../assets/index.js";
import { storedTemplates } from "../machine/index.js";
import { storedDocuments, storedTags, usedDocuments } from "../oci/index.js";
import { LayerStore } from "../rootfs/index.js";
import { home } from "../store/index.js";
import { leftovers } from "./leftovers.js";
import { type References, readReferences } from "./references.js";

/** Kinds of what `prune` removes. */
export type UnusedKind =
  | "layer"
  | "template"
  | "document"
  | "tag"
  | "asset"
  | "leftover"
  | "step"
  | "cache mount"
  | "download";

/** Something in the stores that nothing refers to. */
export interface Unused {
  kind: UnusedKind;
  path: string;
  /** For people: a digest, a reference, a file's name. */
  item: string;
}

/**
 * Finds what no snapshot refers to, what was replaced by newer versions, and what killed processes left.
 * @param all with the templates that the next bake would use
 */
export async function findUnused(all: boolean): Promise<Unused[]> {
  const references = await readReferences();
  const found = [unusedLayers(references), unusedTemplates(references, all), unusedDocuments(references)];
  const assets = (await unusedAssets()).map((path): Unused => ({ kind: "asset", path, item: basename(path) }));
  const left = (await leftovers()).map((path): Unused => ({ kind: "leftover", path, item: basename(path) }));
  return [...(await Promise.all(found)).flat(), ...assets, ...left];
}

async function unusedLayers(references: References): Promise<Unused[]> {
  const found: Unused[] = [];
  for (const path of await new LayerStore(home().layers).files()) {
    if (await references.hasLayer(path)) continue;
    found.push({ kind: "layer", path, item: basename(path).replace(/\..*$/, "").replace("-", ":") });
  }
  return found;
}

async function unusedTemplates(references: References, all: boolean): Promise<Unused[]> {
  const templates = await storedTemplates();
  const unused = templates.filter(({ key, id, current, problem }) => {
    const wanted = current && problem === undefined && !all;
    return !wanted && !references.hasTemplate(key, id);
  });
  return unused.map(({ path, key }) => ({ kind: "template", path, item: key }));
}

async function unusedDocuments({ digests }: References): Promise<Unused[]> {
  const [documents, tags] = await Promise.all([storedDocuments(), storedTags()]);
  const used = usedDocuments(documents, digests);
  return [
    ...documents
      .filter(({ digest }) => !used.has(digest))
      .map(({ path, digest }): Unused => ({ kind: "document", path, item: digest })),
    ...tags
      .filter(({ digest }) => digest === undefined || !used.has(digest))
      .map(({ path, reference }): Unused => ({ kind: "tag", path, item: reference ?? basename(path) })),
  ];
}
