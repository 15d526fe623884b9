import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { home } from "../store/index.js";

/** Kernels, agents and initramfs: everything whose name says of which version it is. */
const VERSIONED = /^(?:linux-image-|agent-|initramfs-)/;

/** Paths of the kernels, agents and initramfs that were replaced by newer ones. None where nothing says which are in use. */
export async function unusedAssets(): Promise<string[]> {
  const folder = home().assets;
  const names = await readdir(folder).catch(() => [] as string[]);
  const manifests = names.filter((name) => /^assets-\w+\.json$/.test(name));
  const inUse = (await Promise.all(manifests.map((name) => readFile(join(folder, name), "utf8")))).join("\n");
  // While `setup` looks for newer ones its manifest is empty.
  if (!inUse.includes("initramfs-")) return [];
  const unused = names.filter(
    (name) => VERSIONED.test(name) && !/\.(lock|partial)$/.test(name) && !inUse.includes(name),
  );
  return unused.map((name) => join(folder, name));
}
