import { differences, type ListedNode, type Listing } from "../tree-listing.js";
import { isAccepted } from "./accepted.js";
import { CONTEXT_TIME } from "./context.js";

/** What two builds disagree on, one line each, besides what is accepted. */
export function fileDifferences(name: string, own: Listing, other: Listing): string[] {
  const kept = (path: string) => !isAccepted(name, path, own[path], other[path]);
  const comparable = (listing: Listing) =>
    Object.fromEntries(
      Object.entries(listing)
        .filter(([path]) => kept(path))
        .map(([path, node]) => [path, withoutOurTime(node)]),
    );
  return differences(comparable(own), comparable(other));
}

/** The files below a folder, as if it were the root. */
export function below(listing: Listing, folder: string): Listing {
  const inside = Object.entries(listing).filter(([path]) => path === folder || path.startsWith(`${folder}/`));
  const shorter = (path: string) => (path === folder ? "." : path.slice(folder.length + 1));
  return Object.fromEntries(
    inside.map(([path, node]) => [shorter(path), node.sameAs ? { ...node, sameAs: shorter(node.sameAs) } : node]),
  );
}

/** Two builds are not made at the same time. What was made by the build is told from what kept the context's time. */
function withoutOurTime(node: ListedNode): ListedNode {
  return { ...node, mtime: node.mtime.startsWith(`${CONTEXT_TIME}.`) ? "kept" : "made" };
}
