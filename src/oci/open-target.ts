import type { RegistryReference } from "./reference.js";
import type { RegistryTargetOptions } from "./registry/index.js";
import type { ImageTarget } from "./target.js";

/** Makes a repository of a registry the target of a copy. What speaks HTTP is loaded only now. @throws UsageError */
export async function openTarget(
  reference: RegistryReference,
  options: RegistryTargetOptions = {},
): Promise<ImageTarget> {
  return (await import("./registry/index.js")).openRegistryTarget(reference, options);
}
