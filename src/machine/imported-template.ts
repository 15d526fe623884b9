import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { home, produceOnce } from "../store/index.js";
import type { Runtime } from "./runtime.js";
import { readTemplate, type Size, shapeOf, type Template } from "./template.js";
import { describeTemplate, parseTemplate } from "./template-metadata.js";

// Two boots of one shape differ in their RAM, so a snapshot from elsewhere needs the very template that it was taken on. Such
// templates are kept beside the one that was booted here, which alone is what new images are baked on.

/** Paths of what a template consists of. */
export interface TemplateFiles {
  ram: string;
  deviceState: string;
}

/** Digests of a template's files. */
export interface TemplateContent {
  ramDigest: string;
  stateDigest: string;
}

/**
 * The id of a template that comes from elsewhere. It is made of its content, so that nobody can put another one in its
 * place: whoever brings a snapshot chooses the template for that snapshot, and for no other.
 */
export function importedTemplateId({ ramDigest, stateDigest }: TemplateContent): string {
  return `sha256:${createHash("sha256").update(`${ramDigest} ${stateDigest}`).digest("hex")}`;
}

/** The template that a snapshot of `size` was taken on, booted here or imported, if it is here and fits this host. */
export async function findTemplateById(
  runtime: Runtime,
  size: Size,
  wanted: { key: string; id: string },
): Promise<Template | undefined> {
  const { key, hardware } = shapeOf(runtime, size);
  if (key !== wanted.key) return undefined;
  const template = await readTemplate(folderOf(wanted), key, hardware);
  return template?.id === wanted.id ? template : undefined;
}

/** The files of a template, whether it fits this host or not; `undefined` when it is gone or was made anew. */
export async function templateFiles(wanted: { key: string; id: string }): Promise<TemplateFiles | undefined> {
  const folder = folderOf(wanted);
  try {
    const { id } = parseTemplate(await readFile(join(folder, "template.json"), "utf8"));
    return id === wanted.id ? filesIn(folder) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Puts a template from elsewhere beside the one that was booted here, once.
 * @param fill writes the files, and makes sure that they have the digests that `content` says
 */
export async function installTemplate(
  runtime: Runtime,
  size: Size,
  content: TemplateContent,
  fill: (files: TemplateFiles) => Promise<void>,
  signal?: AbortSignal,
): Promise<Template> {
  const { key, hardware } = shapeOf(runtime, size);
  const id = importedTemplateId(content);
  const folder = folderOf({ key, id });
  return produceOnce(folder, {
    find: () => readTemplate(folder, key, hardware),
    make: async (partial) => {
      await mkdir(partial, { recursive: true });
      const files = filesIn(partial);
      await fill(files);
      await chmod(files.ram, 0o600);
      const metadata = await describeTemplate(partial, id, runtime);
      await writeFile(join(partial, "template.json"), JSON.stringify(metadata, null, 2));
    },
    ...(signal && { signal }),
  });
}

function filesIn(folder: string): TemplateFiles {
  return { ram: join(folder, "ram.img"), deviceState: join(folder, "device.state") };
}

/** The key of the template in a folder, and whether it was imported; the other direction of {@link folderOf}. */
export function templateOfFolder(name: string): { key: string; isImported: boolean } {
  const dash = name.indexOf("-");
  return { key: dash < 0 ? name : name.slice(0, dash), isImported: dash >= 0 };
}

/** `KEY` for the one that was booted here, `KEY-HEX` for others. */
function folderOf({ key, id }: { key: string; id: string }): string {
  const imported = /^sha256:([0-9a-f]{64})$/.exec(id)?.[1];
  return join(home().templates, imported === undefined ? key : `${key}-${imported}`);
}
