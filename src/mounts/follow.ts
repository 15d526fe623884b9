import { lstatSync, readlinkSync } from "node:fs";
import type { FileNode } from "./node-table.js";
import type { FileTree, Found } from "./tree.js";
import { Refusal } from "./wire.js";

const LINKS_MAX = 40;
/** Followed links within each other, by which a tree could look endless. */
const NESTED_MAX = 8;

/** The walk from link to link: where it is, and how many links it may still meet. */
interface Walk {
  tree: FileTree;
  links: number;
  /** Folders that were met; those that nothing refers to afterwards are forgotten. */
  met: FileNode[];
}

/**
 * What a link leads to, found name by name without leaving the tree; undefined when there is nothing.
 * @throws Refusal EACCES for a link that leads out, ELOOP for one that leads to a folder around it
 */
export function followLink(tree: FileTree, folder: FileNode, name: string): Found | undefined {
  const walk: Walk = { tree, links: LINKS_MAX, met: [] };
  try {
    const found = resolve(walk, folder, name);
    if (!found) return undefined;
    const { parent, stats } = found;
    if (!stats.isDirectory()) return { node: tree.nodes.obtain(parent, found.name, stats), stats };
    if (folder.followed >= NESTED_MAX || isAround(folder, found)) throw new Refusal("ELOOP");
    // A folder may have only one place in the guest, so what is seen through the link is another folder there.
    const node = tree.nodes.obtain(parent, found.name, stats, `@${folder.id}/${name}`, folder.followed + 1);
    return { node, stats };
  } finally {
    for (const each of walk.met.reverse()) tree.nodes.drop(each);
  }
}

interface Place {
  parent: FileNode;
  name: string;
  stats: Found["stats"];
}

function resolve(walk: Walk, folder: FileNode, name: string): Place | undefined {
  const { tree } = walk;
  const path = tree.at(folder, name);
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (!stats) return undefined;
  if (!stats.isSymbolicLink()) return { parent: folder, name, stats };
  if (walk.links-- === 0) throw new Refusal("ELOOP");
  const target = readlinkSync(path, { encoding: "latin1" });
  return target.startsWith("/") ? fromRoot(walk, target) : along(walk, folder, target.split("/"));
}

/** An absolute target is meant on the host; it counts when it is in the folder. */
function fromRoot(walk: Walk, target: string): Place | undefined {
  const root = Buffer.from(walk.tree.root).toString("latin1");
  if (target !== root && !target.startsWith(root === "/" ? "/" : `${root}/`)) throw new Refusal("EACCES");
  return along(walk, walk.tree.nodes.root, target.slice(root.length).split("/"));
}

function along(walk: Walk, start: FileNode, names: readonly string[]): Place | undefined {
  const { tree } = walk;
  const rest = names.filter((each) => each !== "" && each !== ".");
  let folder = start;
  for (const [index, name] of rest.entries()) {
    if (name === "..") {
      if (!folder.parent) throw new Refusal("EACCES");
      folder = folder.parent;
      continue;
    }
    const found = resolve(walk, folder, name);
    if (!found || index === rest.length - 1) return found;
    if (!found.stats.isDirectory()) return undefined;
    folder = tree.nodes.obtain(found.parent, found.name, found.stats, "", 0);
    walk.met.push(folder);
  }
  // It ends in "..", or is the root.
  const stats = tree.stat(folder);
  return folder.parent ? { parent: folder.parent, name: folder.name, stats } : undefined;
}

function isAround(folder: FileNode, { stats }: Place): boolean {
  for (let each: FileNode | undefined = folder; each; each = each.parent) {
    if (each.ino === stats.ino && each.dev === stats.dev) return true;
  }
  return false;
}
