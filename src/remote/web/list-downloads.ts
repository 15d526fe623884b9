import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { isEntry } from "../../store/index.js";
import { fileName, Stored } from "./downloads.js";

/** A file from the web that is here. */
export interface StoredDownload {
  path: string;
  /** Paths of what is known of the URLs that it came from. */
  notes: string[];
  /** Milliseconds since 1970. */
  lastUsedMs: number;
}

/** The files in a folder of downloads. What is known of one that is not there counts as a file of its own. */
export async function listDownloads(folder: string): Promise<StoredDownload[]> {
  const names = (await readdir(folder).catch(() => [] as string[])).filter(isEntry);
  const notes = new Map<string, string[]>();
  for (const name of names.filter((each) => each.endsWith(".json"))) {
    const path = join(folder, name);
    const file = await fileOf(path);
    const key = file !== undefined && names.includes(file) ? file : name;
    notes.set(key, [...(notes.get(key) ?? []), ...(key === name ? [] : [path])]);
  }
  for (const name of names) if (!name.endsWith(".json") && !notes.has(name)) notes.set(name, []);
  const found = [...notes].map(async ([name, own]): Promise<StoredDownload | undefined> => {
    const path = join(folder, name);
    const facts = await stat(path).catch(() => undefined);
    return facts && { path, notes: own, lastUsedMs: facts.mtimeMs };
  });
  return (await Promise.all(found)).filter((each) => each !== undefined);
}

/** The name of the file that a note is about, if it can be read. */
async function fileOf(note: string): Promise<string | undefined> {
  const text = await readFile(note, "utf8").catch(() => "");
  const stored = v.safeParse(v.pipe(v.string(), v.parseJson(), Stored), text);
  return stored.success ? fileName(stored.output.sha256) : undefined;
}
