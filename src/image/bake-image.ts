import { ImageError } from "../errors.js";
import type { Runtime } from "../machine/index.js";
import { checkPolicy } from "../network/index.js";
import {
  formatPlatform,
  hostPlatform,
  type ImageContent,
  isFor,
  isSnapshotContent,
  listPlatforms,
  openImageOrSnapshot,
  parsePlatform,
  runnablePlatforms,
} from "../oci/index.js";
import { LayerStore } from "../rootfs/index.js";
import { home } from "../store/index.js";
import { importSnapshot } from "./artifact/import-snapshot.js";
import { type BakeSource, bakeOnce } from "./bake-once.js";
import { ensureLayers } from "./layers.js";
import { type BakeOptions, runConfigurationOf, sizeOf } from "./options.js";

/** Finds or makes the snapshot of an image, or of what is a snapshot already, and gives its folder. */
export async function bakeImage(runtime: Runtime, reference: string, options: BakeOptions): Promise<string> {
  sizeOf(options);
  if (options.egress !== undefined) checkPolicy(options.egress);
  await using content = await openImageOrSnapshot(reference, {
    platform: options.platform === undefined ? undefined : parsePlatform(options.platform),
    pull: options.pull,
    registryAuth: options.registryAuth,
    signal: options.signal,
  });
  if (isSnapshotContent(content)) return await importSnapshot(runtime, content, reference, options);
  requireRunnable(content);
  const { os, architecture } = content.config;
  const store = new LayerStore(home().layers);
  const source: BakeSource = {
    reference,
    manifestDigest: content.manifestDigest,
    platform: formatPlatform({ os, architecture }),
    config: runConfigurationOf(content.config, options),
    identity: { configDigest: content.configDigest, layers: content.layers },
    layerPaths: content.layers.map(({ diffId }) => store.pathOf(diffId)),
    ensureLayers: (work) => ensureLayers(content, work),
  };
  return await bakeOnce(runtime, source, options);
}

/** @throws ImageError when the image was chosen for a machine of another kind */
function requireRunnable({ reference, config, platforms }: ImageContent): void {
  if (isFor(hostPlatform(), config)) return;
  const others =
    platforms.length > 1 ? ` The image is also there for other platforms: ${listPlatforms(platforms)}.` : "";
  throw new ImageError(`${reference} for ${formatPlatform(config)} cannot run on this machine`, {
    hint: `This machine runs images for ${listPlatforms(runnablePlatforms())}.${others}`,
  });
}
