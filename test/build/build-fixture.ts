import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type ExportOptions, exportBuild } from "../../src/index.js";
import { LayerStore, layerArchive, type StoredLayer } from "../../src/rootfs/index.js";
import { folderOfFile } from "../support/folder-of-file.js";
import type { TarBuilder } from "../support/tar-builder.js";

/** A new folder with these files; a name that ends in a slash is a folder. */
export function folderWith(files: Record<string, string>): string {
  const folder = folderOfFile();
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(name.endsWith("/") ? path : dirname(path), { recursive: true });
    if (!name.endsWith("/")) writeFileSync(path, text);
  }
  return folder;
}

/** Stores an archive as a layer of a store of its own. */
export async function storeLayer(tar: TarBuilder): Promise<StoredLayer> {
  const store = new LayerStore(folderOfFile());
  async function* bytes() {
    yield tar.finish();
  }
  return store.add(bytes());
}

/** What a layer's archive lists: type, mode, owner and name of each entry. */
export async function listLayer(path: string): Promise<string[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of layerArchive(path)) chunks.push(chunk);
  return listArchive(Buffer.concat(chunks));
}

/** The same of an archive in memory, whose names are short. */
export function listArchive(archive: Buffer): string[] {
  const lines: string[] = [];
  for (let at = 0; at < archive.length && archive[at] !== 0; ) {
    const text = (from: number, length: number) =>
      archive.toString("latin1", at + from, at + from + length).replace(/\0.*$/s, "");
    const number = (from: number, length: number) => Number.parseInt(text(from, length), 8);
    const size = number(124, 12);
    const link = text(157, 100);
    const content = text(156, 1) === "0" ? `=${archive.toString("utf8", at + 512, at + 512 + size)}` : "";
    const owner = `${number(108, 8)}:${number(116, 8)}`;
    lines.push(`${text(156, 1)} ${number(100, 8).toString(8)} ${owner} ${text(0, 100)}${link && `>${link}`}${content}`);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return lines;
}

/** Builds a Dockerfile that runs no command, in the home that is set, and lists what the image has. */
export async function builtFiles(dockerfile: string, options: Partial<ExportOptions> = {}): Promise<string[]> {
  const folder = folderWith({});
  const dest = join(folder, "image.tar");
  try {
    await exportBuild({ context: folder, dockerfile, ...options, outputs: [{ type: "tar", dest }] });
    return listArchive(readFileSync(dest)).filter((line) => !line.endsWith(" ./"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
