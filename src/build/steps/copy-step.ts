import { addSource, type CopyStep, compilePatterns, parseSourcePath } from "../../dockerfile/index.js";
import { UsageError } from "../../errors.js";
import { COPY_DISK } from "../../machine/index.js";
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
  findSources,
  LayerTree,
  type Match,
  type TreeNode,
  toBytes,
  toText,
  treeDigest,
} from "../tree/index.js";
import { doOnce, type StepContext, type StepOutcome, type StepSource } from "./step-context.js";

/** COPY, and ADD of local files: a layer that is put together here, without any machine. */
export async function copyStep(context: StepContext, state: ImageState, step: CopyStep): Promise<StepOutcome> {
  requireSupported(step);
  using source = await context.openSource(step.from);
  const rules = [step.destination, step.chown, step.chmod, step.exclude, step.documents, step.unpack];
  // A stage or an image is known by its layers: then nothing of it has to be read to find what was copied from it.
  const wholeKey =
    source.key === undefined ? undefined : stepKey([step.kind, filesKey(state), source.key, step.sources, ...rules]);
  const found = wholeKey !== undefined && context.useCache ? await context.cache.find(wholeKey) : undefined;
  if (found) return { ...found, cached: true };
  const matches = await findAll(source, step);
  const keepsOwners = source.tree.keepsOwners && step.chown === undefined;
  const digest = await treeDigest(source.tree, matches, keepsOwners);
  const key = stepKey([step.kind, filesKey(state), digest, ...rules]);
  const outcome = await doOnce(context, key, () => copy(context, state, step, source, matches));
  if (wholeKey !== undefined) await context.cache.keep(wholeKey, outcome);
  return outcome;
}

async function copy(
  context: StepContext,
  state: ImageState,
  step: CopyStep,
  { tree }: StepSource,
  matches: readonly Match<TreeNode>[],
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
    excludes: step.exclude.length === 0 ? undefined : compilePatterns(step.exclude).matches,
  };
  const disks: Scratch[] = [];
  try {
    for (const match of matches) {
      const archive = step.kind === "add" && step.unpack !== false ? await archiveOf(tree, match) : undefined;
      if (!archive) await copyFiles(draft, tree, [match], rules);
      else await unpack(context, draft, archive, await scratchDisk(disks), rules);
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

function archiveOf(tree: StepSource["tree"], { node, name }: Match<TreeNode>) {
  return node.type === "file" ? openArchive(toText(name), () => tree.content(node)) : undefined;
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
  await copyFiles(draft, tree, [{ name: "", node: await tree.root(), names: [] }], rules);
}

async function findAll(
  { tree }: StepSource,
  { sources, destination, documents }: CopyStep,
): Promise<Match<TreeNode>[]> {
  const found = await Promise.all(
    sources.map(async (source) => {
      const path = parseSourcePath(source);
      const matches = await findSources(tree, path);
      if (matches.length > 0 || (path.hasWildcard && sources.length > 1)) return matches;
      throw new UsageError(`${source} is not in ${tree.name}`, {
        hint: tree.keepsOwners
          ? "Look at what the stage makes."
          : "Paths are below the context; .dockerignore leaves some out.",
      });
    }),
  );
  const matches = found.flat();
  if (matches.length + documents.length === 0)
    throw new UsageError(`no file in ${tree.name} matches ${sources.join(" ")}`);
  if (matches.length + documents.length > 1 && !isFolderName(destination)) {
    throw new UsageError(`${destination} must be a folder, for there are several sources`, {
      hint: "End the destination with a slash.",
    });
  }
  return matches;
}

function requireSupported(step: CopyStep): void {
  const what = [
    step.parents && "--parents",
    step.checksum !== undefined && "--checksum",
    step.keepGitDir && "--keep-git-dir",
  ].find(Boolean);
  if (what) throw new UsageError(`${step.kind.toUpperCase()} ${what} is not supported`);
  const remote = step.sources.find((source) => addSource(source).kind !== "path");
  if (remote !== undefined)
    throw new UsageError(`ADD of ${remote} is not supported: only files of the context can be added`);
}
