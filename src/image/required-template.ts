import { CacheInvalidError } from "../errors.js";
import { findTemplateById, type Runtime, type Template } from "../machine/index.js";
import { bundledTemplate } from "./bundle/open-bundle.js";
import type { SnapshotMetadata } from "./metadata.js";

/**
 * The template that the snapshot in `folder` was taken on: deltas fit no other.
 * @throws CacheInvalidError when it is not here and does not come with the snapshot, or does not fit this machine
 */
export async function requireTemplate(
  runtime: Runtime,
  metadata: SnapshotMetadata,
  folder: string,
  signal?: AbortSignal,
): Promise<Template> {
  const { memoryMiB, vcpus, key, id, hypervisor, accelerator } = metadata.template;
  const template =
    (await findTemplateById(runtime, { memoryMiB, vcpus }, { key, id })) ??
    (await bundledTemplate(runtime, folder, metadata, signal));
  if (template) return template;
  const differences = [
    hypervisor !== runtime.hypervisor.identity &&
      `it was made with ${hypervisor}, here is ${runtime.hypervisor.identity}`,
    accelerator !== runtime.accelerator && `it was made with ${accelerator}, here ${runtime.accelerator} is used`,
  ].filter(Boolean);
  const reason =
    differences.join("; ") ||
    (metadata.bundled
      ? "it was made for another processor"
      : "the template that it is based on is gone or was made anew");
  throw new CacheInvalidError(`the snapshot ${metadata.name} cannot be restored: ${reason}`, {
    hint: metadata.bundled
      ? "Run it on a machine like the one it was made on (SUPERMACHINE_QEMU names another QEMU), or bundle the image anew here."
      : `Bake it anew from ${metadata.reference}.`,
  });
}
