import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { crc32 } from "node:zlib";
import * as v from "valibot";
import type { Runtime } from "./runtime.js";

const Metadata = v.object({
  id: v.string(),
  /** A template whose RAM was written to after it was made is worthless, and so is every delta on it. */
  ram: v.object({ size: v.number(), modified: v.string() }),
  /** It has no checksum of its own. Absent from templates of version 0.1, as what follows. */
  deviceState: v.optional(v.object({ bytes: v.number(), crc32: v.number() })),
  /** What it was made with, to tell those that the next bake would use from the others. */
  madeWith: v.optional(v.object({ kernel: v.string(), initramfs: v.string(), hypervisor: v.string() })),
});

/** `template.json`. */
export type TemplateMetadata = v.InferOutput<typeof Metadata>;

/** @throws when it is damaged */
export function parseTemplate(text: string): TemplateMetadata {
  return v.parse(Metadata, JSON.parse(text));
}

/** Describes the template in `folder`, whose RAM and device state are complete. */
export async function describeTemplate(folder: string, id: string, runtime: Runtime): Promise<TemplateMetadata> {
  const { assets, hypervisor } = runtime;
  const state = await readFile(join(folder, "device.state"));
  return {
    id,
    ram: await ramFacts(join(folder, "ram.img")),
    deviceState: { bytes: state.length, crc32: crc32(state) },
    madeWith: {
      kernel: assets.kernel.digest,
      initramfs: basename(assets.initramfs),
      hypervisor: hypervisor.identity,
    },
  };
}

/** Size and time of the last change of a template's RAM. */
export async function ramFacts(path: string): Promise<TemplateMetadata["ram"]> {
  const { size, mtimeNs } = await stat(path, { bigint: true });
  return { size: Number(size), modified: String(mtimeNs) };
}

/** What is wrong with the files of the template in `folder`, in words. */
export async function checkTemplate(folder: string, metadata: TemplateMetadata): Promise<string | undefined> {
  const ram = await ramFacts(join(folder, "ram.img")).catch(() => undefined);
  if (!ram) return "its RAM is missing";
  if (ram.size !== metadata.ram.size) return `its RAM has ${ram.size} bytes instead of ${metadata.ram.size}`;
  if (ram.modified !== metadata.ram.modified) return "its RAM was changed after it was made";
  const state = await readFile(join(folder, "device.state")).catch(() => undefined);
  if (!state) return "its device state is missing";
  const { deviceState } = metadata;
  if (!deviceState || (deviceState.bytes === state.length && deviceState.crc32 === crc32(state))) return undefined;
  return "its device state is truncated or corrupt";
}
