import type { Mount } from "../../dockerfile/index.js";
import { UsageError } from "../../errors.js";
import { type Match, resolveIn, type TreeNode, toBytes, treeDigest } from "../tree/index.js";
import type { MountContext, MountSource } from "./mount-context.js";

/** What a command's result depends on of its mounts. Of caches and secrets it is what they are called, not what they hold. */
export function mountKeys(context: MountContext, mounts: readonly Mount[]): Promise<unknown[]> {
  return Promise.all(
    mounts.map(async (mount): Promise<unknown> => {
      if (mount.type === "bind") return [mount.type, mount.target, mount.readOnly, await sourceKey(context, mount)];
      if (mount.type === "cache") return { ...mount, from: await seedKey(context, mount) };
      return mount;
    }),
  );
}

/** Of what a cache begins with, if that is given. */
export async function seedKey(
  context: MountContext,
  mount: { from: string | undefined; source: string },
): Promise<string | undefined> {
  return mount.from === undefined ? undefined : sourceKey(context, mount);
}

async function sourceKey(
  context: MountContext,
  { from, source: path }: { from: string | undefined; source: string },
): Promise<string> {
  using source = await context.openSource(from);
  if (source.key !== undefined) return JSON.stringify([source.key, path]);
  return await treeDigest(source.tree, [await findSource(source, path)], source.tree.keepsOwners);
}

/** What a mount takes from its source. @throws UsageError when it is not there */
export async function findSource({ tree }: MountSource, path: string): Promise<Match<TreeNode>> {
  const found = await resolveIn(tree, toBytes(path));
  if (found) return { ...found, name: found.names.at(-1) ?? "" };
  throw new UsageError(`${path} is not in ${tree.name}, from where it was to be mounted`);
}
