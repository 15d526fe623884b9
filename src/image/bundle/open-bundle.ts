import { join, relative } from "node:path";
import { CacheInvalidError } from "../../errors.js";
import {
  CAPTURE_FILES,
  installTemplate,
  openRuntime,
  type Runtime,
  type Template,
  templateKey,
} from "../../machine/index.js";
import { copySparse } from "../../memory/index.js";
import type { LongWork } from "../../progress.js";
import { METADATA_FILE, readMetadata, type SnapshotMetadata } from "../metadata.js";
import { snapshotFiles } from "../root-disk-file.js";
import { damaged, digestOfFile, requireWhole } from "./check-bundle.js";
import { BUNDLE_FILE, type Bundle, PLACES, readBundle } from "./format.js";

/** What is read whenever a bundle is opened, and so compared whenever that happens. */
const READ = [METADATA_FILE, ...Object.values(CAPTURE_FILES), PLACES.templateState];

/**
 * What the snapshot in `folder` is run with: if it is a bundle, its own kernel and agent.
 * @throws ImageNotFoundError; CacheInvalidError when it is damaged or incomplete; AssetsError, also when it is for another architecture
 */
export async function runtimeOf(folder: string, work: LongWork): Promise<Runtime> {
  const bundle = await readBundle(folder);
  if (bundle) return bundledRuntime(folder, bundle, work);
  if ((await readMetadata(folder)).bundled) throw damaged(folder, `${BUNDLE_FILE} is missing`);
  return openRuntime(work);
}

async function bundledRuntime(folder: string, bundle: Bundle, work: LongWork): Promise<Runtime> {
  await requireWhole(folder, bundle, READ);
  const metadata = await readMetadata(folder);
  const { template, layers } = metadata;
  const paths = [
    ...snapshotFiles(metadata),
    bundle.kernel.path,
    bundle.initramfs,
    ...layers.map(({ path }) => relative(folder, path)),
  ];
  const unlisted = paths.find((path) => !bundle.files.some((file) => file.path === path));
  if (unlisted !== undefined) throw damaged(folder, `${unlisted} is not listed`);
  const { architecture, kernel } = bundle;
  return openRuntime(work, {
    architecture,
    kernel: { name: kernel.name, digest: kernel.digest, vmlinuz: join(folder, kernel.path) },
    initramfs: join(folder, bundle.initramfs),
    accelerator: template.accelerator,
  });
}

/**
 * Puts the template of the bundle in `folder` into the home, once: QEMU can only map RAM that it may write to, and whether that was
 * touched shows by its time, which no copy of a folder need keep. `undefined` where there is no bundle, or none that fits this machine.
 * @throws CacheInvalidError when it is damaged
 */
export async function bundledTemplate(
  runtime: Runtime,
  folder: string,
  { template }: SnapshotMetadata,
  signal?: AbortSignal,
): Promise<Template | undefined> {
  const bundle = await readBundle(folder);
  if (!bundle || templateKey(runtime, template) !== template.key) return undefined;
  const content = { ramDigest: digestIn(bundle, PLACES.ram), stateDigest: digestIn(bundle, PLACES.templateState) };
  return installTemplate(
    runtime,
    template,
    content,
    async ({ ram, deviceState }) => {
      await take(folder, PLACES.ram, ram, content.ramDigest, signal);
      await take(folder, PLACES.templateState, deviceState, content.stateDigest, signal);
    },
    signal,
  );
}

async function take(folder: string, path: string, to: string, digest: string, signal?: AbortSignal): Promise<void> {
  await copySparse(join(folder, path), to, signal);
  if ((await digestOfFile(to, signal)) !== digest)
    throw damaged(folder, `${path} has another content than was written`);
}

function digestIn({ files }: Bundle, path: string): string {
  const file = files.find((each) => each.path === path);
  if (file) return file.digest;
  throw new CacheInvalidError(`the bundle lists no ${path}`);
}
