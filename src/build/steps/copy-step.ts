import { type CopyStep, compilePatterns } from "../../dockerfile/index.js";
import { UsageError } from "../../errors.js";
import { COPY_DISK } from "../../machine/index.js";
import { once } from "../../once.js";
import { writeArchiveImage } from "../../rootfs/index.js";
import { home, openScratch, type Scratch } from "../../store/index.js";
import { stepKey } from "../cache.js";
import {
  type CopyRules,
  copyFiles,
  draftLayer,
  isFolderName,
  LayerDraft,
  openArchive,
  parseMode,
} from "../copy/index.js";
import { filesKey, type ImageState } from "../image-state.js";
import { parseOwner } from "../owner.js";
import {
  documentTree,
  type Excludes,
  LayerTree,
  type Match,
  type SourceTree,
  type TreeNode,
  toBytes,
  toText,
  treeDigest,
} from "../tree/index.js";
import { type CopyFiles, type CopySource, CopySources } from "./copy-sources.js";
import { doOnce, type StepContext, type StepOutcome } from "./step-context.js";

/** What is copied, and how. */
export type CopyRequest = Omit<CopyStep, "instruction" | "isTrigger" | "title" | "createdBy" | "config" | "link">;

/** COPY and ADD: a layer that is put together here, without any machine. */
export async function copyStep(context: StepContext, state: ImageState, step: CopyRequest): Promise<StepOutcome> {
  await using opened = new CopySources(context, step);
  const sources = opened.all();
  const excludes = step.exclude.length === 0 ? undefined : compilePatterns(step.exclude).matches;
  const rules = [step.destination, step.chown, step.chmod, step.parents, step.exclude, step.documents, step.unpack];
  const keyOf = (parts: readonly string[]) => stepKey([step.kind, filesKey(state), parts, ...rules]);

  const keys: (string | undefined)[] = [];
  for (const source of sources) keys.push(await source.key());
  const digests = sources.map((source) => once(() => digestOf(source, step, excludes)));
  const quickKey = keyOf(await Promise.all(digests.map(async (digest, i) => keys[i] ?? (await digest()))));
  const found = context.useCache ? await context.cache.find(quickKey) : undefined;
  if (found) return { ...found, cached: true };
  // The same files may have been copied from elsewhere.
  const key = keyOf(await Promise.all(digests.map((digest) => digest())));
  const outcome = await doOnce(context, key, () => copy(context, state, step, sources, excludes));
  if (quickKey !== key) await context.cache.keep(quickKey, outcome);
  return outcome;
}

async function digestOf(source: CopySource, step: CopyRequest, excludes: Excludes | undefined): Promise<string> {
  const { tree, matches } = await source.files();
  return await treeDigest(tree, matches, tree.keepsOwners && step.chown === undefined, excludes);
}

async function copy(
  context: StepContext,
  state: ImageState,
  step: CopyRequest,
  sources: readonly CopySource[],
  excludes: Excludes | undefined,
) {
  using image = new LayerTree(
    "the image",
    state.layers.map(({ path }) => path),
  );
  const draft = await LayerDraft.begin(image);
  const rules: CopyRules = {
    destination: toBytes(step.destination),
    owner: step.chown === undefined ? undefined : await parseOwner(step.chown, image),
    mode: step.chmod === undefined ? undefined : parseMode(step.chmod),
    now: context.now,
    excludes,
  };
  const files: CopyFiles[] = [];
  for (const source of sources) files.push(await source.files());
  requireFolder(step, files);
  const disks: Scratch[] = [];
  try {
    for (const [i, { tree, matches }] of files.entries()) {
      for (const match of matches) {
        const archive = sources[i]?.unpacks ? await archiveOf(tree, match) : undefined;
        if (!archive) await copyFiles(draft, tree, [match], rules);
        else await unpack(context, draft, archive, await scratchDisk(disks), rules);
      }
    }
    const documents = documentTree(step.documents, context.now);
    await copyFiles(draft, documents, await documents.matches(), rules);
    if (!draft.isChanged) return undefined;
    return await context.layers.add(draftLayer(draft), context.work.signal);
  } finally {
    for (const disk of disks) await disk[Symbol.asyncDispose]();
  }
}

async function scratchDisk(disks: Scratch[]): Promise<Scratch> {
  const disk = await openScratch(home().run, COPY_DISK);
  disks.push(disk);
  return disk;
}

function archiveOf(tree: SourceTree, { node, name }: Match<TreeNode>) {
  return node.type === "file"
    ? openArchive({ name: toText(name), size: node.size, open: () => tree.content(node) })
    : undefined;
}

/** As a disk image, from which everything is copied with its owners and times. */
async function unpack(
  { work }: StepContext,
  draft: LayerDraft,
  archive: AsyncIterable<Buffer>,
  disk: Scratch,
  rules: CopyRules,
): Promise<void> {
  await writeArchiveImage(archive, disk.path, work.signal);
  using tree = new LayerTree("the archive", [disk.path]);
  // An archive is unpacked as tar does it.
  await copyFiles(draft, tree, [{ name: "", node: await tree.root(), names: [] }], { ...rules, replaces: true });
}

function requireFolder({ sources, destination, documents, parents }: CopyRequest, files: readonly CopyFiles[]): void {
  const count = files.reduce((sum, { matches }) => sum + matches.length, documents.length);
  if (count === 0) throw new UsageError(`no file matches ${sources.join(" ")}`);
  if (count === 1 || parents || isFolderName(destination)) return;
  throw new UsageError(`${destination} must be a folder, for there are several sources`, {
    hint: "End the destination with a slash.",
  });
}
