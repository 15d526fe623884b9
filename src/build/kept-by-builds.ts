import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { storedDownloads } from "../remote/index.js";
import { LayerStore } from "../rootfs/index.js";
import { home, isEntry } from "../store/index.js";
import { StepEntry } from "./step-entry.js";

/** Of the folder of builds: what is fetched from elsewhere. */
export const REMOTE = "remote";

/** Something that builds keep for later ones: what a step has brought about, a cache of `RUN --mount=type=cache`, or a file that ADD has fetched. */
export interface KeptByBuilds {
  kind: "step" | "cache mount" | "download";
  path: string;
  /** Small files that are of no use without it. */
  notes: string[];
  /** Milliseconds since 1970. */
  lastUsedMs: number;
  /** Of a step that has made one: where its layer is, as long as it is there. */
  layer: string | undefined;
}

/** Everything that builds keep for later ones, in no particular order. */
export async function listKeptByBuilds(): Promise<KeptByBuilds[]> {
  const { builds } = home();
  const [steps, caches, downloads] = await Promise.all([
    listFolder(join(builds, "steps"), "step", ".json"),
    listFolder(join(builds, "caches"), "cache mount", ".img"),
    storedDownloads(join(builds, REMOTE)),
  ]);
  return [...steps, ...caches, ...downloads.map((each) => ({ kind: "download" as const, ...each, layer: undefined }))];
}

async function listFolder(folder: string, kind: "step" | "cache mount", suffix: string): Promise<KeptByBuilds[]> {
  const layers = new LayerStore(home().layers);
  const names = await readdir(folder).catch(() => [] as string[]);
  const found = names
    .filter((name) => isEntry(name) && name.endsWith(suffix))
    .map(async (name) => {
      const path = join(folder, name);
      const facts = await stat(path).catch(() => undefined);
      if (!facts) return undefined;
      const layer = kind === "step" ? await layerOf(path, layers) : undefined;
      // It says that the cache was finished.
      const notes = kind === "cache mount" ? [`${path}.used`] : [];
      return { kind, path, notes, lastUsedMs: facts.mtimeMs, layer };
    });
  return (await Promise.all(found)).filter((each) => each !== undefined);
}

/** A damaged entry has none; the next build that asks for it removes it. */
async function layerOf(path: string, layers: LayerStore): Promise<string | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  const entry = v.safeParse(v.pipe(v.string(), v.parseJson(), StepEntry), text);
  const diffId = entry.success ? entry.output.layer : null;
  if (diffId === null || !/^sha(256|512):[0-9a-f]+$/.test(diffId)) return undefined;
  const layer = layers.pathOf(diffId);
  return (await stat(layer).catch(() => undefined)) && layer;
}
