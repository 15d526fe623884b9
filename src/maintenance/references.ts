import { readdir, readFile, stat } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import * as v from "valibot";
import { METADATA_FILE } from "../image/index.js";
import { home, isEntry, listRoots } from "../store/index.js";

// Looser than what a restore needs: a snapshot of another version of this program keeps what it refers to all the same.
const References = v.object({
  reference: v.fallback(v.string(), ""),
  manifestDigest: v.fallback(v.string(), ""),
  template: v.fallback(v.object({ key: v.string(), id: v.string() }), { key: "", id: "" }),
  layers: v.fallback(v.array(v.object({ path: v.string() })), []),
});

/** What snapshots refer to. */
export interface References {
  /** Whether a file is a layer of a snapshot. */
  hasLayer(path: string): Promise<boolean>;
  hasTemplate(key: string, id: string | undefined): boolean;
  /** Digests of the manifests that snapshots were baked from, and of those that users named. */
  digests: ReadonlySet<string>;
}

/** Folders of all snapshots that are known: those of this home, of `SUPERMACHINE_SNAPSHOTS`, and those noted elsewhere. */
export async function snapshotFolders(): Promise<string[]> {
  const { root, snapshots } = home();
  const stores = [...new Set([join(root, "snapshots"), snapshots])];
  const listed = stores.map(async (store) => {
    const names = await readdir(store).catch(() => [] as string[]);
    return names.filter(isEntry).map((name) => join(store, name));
  });
  return [...new Set([...(await Promise.all(listed)).flat(), ...(await listRoots())])];
}

/** Reads what all snapshots refer to. */
export async function readReferences(): Promise<References> {
  const [layers, templates, digests] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const folder of await snapshotFolders()) {
    const references = await readOne(folder);
    if (!references) continue;
    templates.add(`${references.template.key} ${references.template.id}`);
    for (const digest of digestsOf(references)) digests.add(digest);
    for (const { path } of references.layers) {
      const file = await identity(isAbsolute(path) ? path : resolve(folder, path));
      if (file) layers.add(file);
    }
  }
  return {
    digests,
    hasTemplate: (key, id) => templates.has(`${key} ${id}`),
    async hasLayer(path) {
      const file = await identity(path);
      return file !== undefined && layers.has(file);
    },
  };
}

/** A file is the same under every name of the home, through links too. */
export async function identity(path: string): Promise<string | undefined> {
  const facts = await stat(path).catch(() => undefined);
  return facts && `${facts.dev} ${facts.ino}`;
}

async function readOne(folder: string): Promise<v.InferOutput<typeof References> | undefined> {
  try {
    return v.parse(References, JSON.parse(await readFile(join(folder, METADATA_FILE), "utf8")));
  } catch {
    return undefined;
  }
}

function digestsOf({ reference, manifestDigest }: { reference: string; manifestDigest: string }): string[] {
  const named = /@(sha(?:256|512):[0-9a-f]+)$/.exec(reference)?.[1];
  return named === undefined ? [manifestDigest] : [manifestDigest, named];
}
