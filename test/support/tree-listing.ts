import { createHash } from "node:crypto";

/** Everything that can be known of one name in a file tree. */
export interface ListedNode {
  type: "file" | "directory" | "symlink" | "char" | "block" | "fifo" | "socket";
  /** Permission bits with setuid, setgid and sticky, in octal. */
  mode: string;
  uid: number;
  gid: number;
  /** Seconds and nine digits of fraction. */
  mtime: string;
  nlink: number;
  size?: number;
  /** See {@link ContentDigest}. */
  content?: string;
  target?: string;
  /** "major:minor". */
  device?: string;
  /** Values in hex. */
  xattrs?: Record<string, string>;
  /** The first path, in order, that leads to the same inode; absent where that is this one. */
  sameAs?: string;
}

/** Nodes by path from the root ("." for the root itself); paths have one character per byte (latin1). */
export type Listing = Record<string, ListedNode>;

const BLOCK = 4096;
const ZERO = Buffer.alloc(BLOCK);

/** A digest of content in which zero blocks do not count, so that terabytes of hole cost nothing. */
export class ContentDigest {
  readonly #hash = createHash("sha256");

  /** Takes the block at `offset`, a multiple of 4,096; the last may be shorter. */
  block(offset: number, bytes: Buffer): void {
    if (bytes.equals(ZERO.subarray(0, bytes.length))) return;
    this.#hash.update(`${offset}:`).update(bytes);
  }

  value(size: number): string {
    return `${size}:${this.#hash.digest("hex")}`;
  }
}

export function formatMtime(seconds: bigint, nanoseconds: number | bigint): string {
  return `${seconds}.${String(nanoseconds).padStart(9, "0")}`;
}

/** Sorts by path, and replaces inode numbers by the first path that has them. */
export function finishListing(nodes: [path: string, inode: string, node: ListedNode][]): Listing {
  const first = new Map<string, string>();
  const listing: Listing = {};
  for (const [path, inode, node] of nodes.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const earlier = first.get(inode);
    if (earlier === undefined) first.set(inode, path);
    listing[path] = earlier === undefined ? node : { ...node, sameAs: earlier };
  }
  return listing;
}

/** What two listings disagree on, one line each; empty when they are the same. */
export function differences(actual: Listing, expected: Listing): string[] {
  const paths = new Set([...Object.keys(actual), ...Object.keys(expected)]);
  const lines: string[] = [];
  for (const path of [...paths].sort()) {
    const a = JSON.stringify(sorted(actual[path]));
    const b = JSON.stringify(sorted(expected[path]));
    if (a !== b) lines.push(`${JSON.stringify(path)}: ${a} instead of ${b}`);
  }
  return lines;
}

function sorted(node: ListedNode | undefined): unknown {
  if (!node) return undefined;
  const xattrs = node.xattrs && Object.entries(node.xattrs).sort();
  return Object.entries({ ...node, xattrs }).sort();
}
