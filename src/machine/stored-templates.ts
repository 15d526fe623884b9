import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Assets, knownAssets } from "../assets/index.js";
import { Qemu } from "../engine/index.js";
import { home, isEntry } from "../store/index.js";
import { templateOfFolder } from "./imported-template.js";
import { checkTemplate, parseTemplate, type TemplateMetadata } from "./template-metadata.js";

/** A template in the store, usable or not. */
export interface StoredTemplate {
  path: string;
  key: string;
  /** Absent when its description cannot be read. */
  id: string | undefined;
  /** Made with the QEMU, the kernel and the agent that are in use now: the next bake of its size would use it. */
  current: boolean;
  /** What is wrong with it. */
  problem: string | undefined;
}

/** All templates. Their RAM is not read: that takes as long as booting them anew. */
export async function storedTemplates(): Promise<StoredTemplate[]> {
  const folder = home().templates;
  const names = await readdir(folder).catch(() => [] as string[]);
  const assets = await knownAssets();
  return Promise.all(names.filter(isEntry).map((name) => describe(join(folder, name), assets)));
}

/** The template in a folder. */
export async function readStoredTemplate(path: string): Promise<StoredTemplate> {
  return describe(path, await knownAssets());
}

async function describe(path: string, assets: Assets | undefined): Promise<StoredTemplate> {
  const { key, isImported } = templateOfFolder(basename(path));
  const about = { path, key, id: undefined, current: false };
  try {
    const metadata = parseTemplate(await readFile(join(path, "template.json"), "utf8"));
    const problem = await checkTemplate(path, metadata);
    return { ...about, id: metadata.id, current: !isImported && isCurrent(metadata, assets), problem };
  } catch {
    return { ...about, problem: "its description is missing or damaged" };
  }
}

function isCurrent({ madeWith }: TemplateMetadata, assets: Assets | undefined): boolean {
  if (!madeWith || !assets) return false;
  return (
    madeWith.kernel === assets.kernel.digest &&
    madeWith.initramfs === basename(assets.initramfs) &&
    madeWith.hypervisor === new Qemu(assets.qemu.path, assets.qemu.version).identity
  );
}
