import type { ListedNode } from "../tree-listing.js";

/** A place where buildah 1.28 does otherwise, and we do not follow it. */
interface Accepted {
  /** The case in which it shows; without one, any. */
  name?: string;
  why: string;
  applies: (path: string, own: ListedNode | undefined, other: ListedNode | undefined) => boolean;
}

/** All of them. docs/build.md has the same list. */
export const ACCEPTED: readonly Accepted[] = [
  {
    why: "In an image from scratch buildah's root folder has the mode 555. Docker's builds have 755.",
    applies: (path, own, other) => path === "." && differOnlyIn("mode", own, other) && other?.mode === "555",
  },
  {
    why: "It takes set-user-ID and set-group-ID from files of the context. Docker's builds keep them.",
    applies: (path, own, other) =>
      /\/set[ug]id$/.test(path) && differOnlyIn("mode", own, other) && other?.mode === "755",
  },
  {
    why: "It keeps extended attributes of the context's files. Here a context has none, as a checkout has none; those of archives and stages stay.",
    applies: (path, own, other) =>
      /^[xy]\/(?:attributes\/)?file$/.test(path) && differOnlyIn("xattrs", own, other) && own?.xattrs === undefined,
  },
  {
    name: "copies upon what a command has made",
    why: "What is put into a folder changes the folder's time there. Here it stays, so that a layer says nothing of what was not copied.",
    applies: (path, own, other) => path === "real/sub" && differOnlyIn("mtime", own, other),
  },
  {
    name: "a bracket that is escaped",
    why: "It takes the name of what a pattern has found for a pattern again, as later versions do not.",
    applies: (path, own, other) => path === "x/file" && own?.size !== other?.size,
  },
  {
    name: "two stars that are part of a name",
    why: "It takes **.txt for **/.txt. Docker's builds take it for every path that ends so.",
    applies: (path, own) => path.endsWith(".txt") && own === undefined,
  },
  ...["an exception by two stars", "all but files by two stars", "in turns by two stars"].map((name) => ({
    name,
    why: "It looks into an ignored folder only for an exception whose text begins with its path. BuildKit does for patterns too.",
    applies: (path: string, own: ListedNode | undefined, other: ListedNode | undefined) =>
      other === undefined ? /^x\/(?:dir|one)(?:\/|$)/.test(path) : path === "x" && differOnlyIn("nlink", own, other),
  })),
];

/** Whether one of them explains what the two builds have at a path. */
export function isAccepted(
  name: string,
  path: string,
  own: ListedNode | undefined,
  other: ListedNode | undefined,
): boolean {
  return ACCEPTED.some((each) => (each.name ?? name) === name && each.applies(path, own, other));
}

function differOnlyIn(field: keyof ListedNode, own: ListedNode | undefined, other: ListedNode | undefined): boolean {
  const rest = (node: ListedNode | undefined) => JSON.stringify({ ...node, [field]: undefined, mtime: undefined });
  return own !== undefined && other !== undefined && rest(own) === rest(other);
}

/** What buildah builds and docker's builds refuse, as we do. */
export const REFUSED: readonly [why: string, dockerfile: string][] = [
  ["several files to a name without a slash", "COPY file other /x"],
  ["ENV without a name", "ENV =x"],
  ["a port that is none", "EXPOSE many"],
];
