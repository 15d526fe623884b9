import { createHash } from "node:crypto";
import type { Match } from "./glob.js";
import { type SourceTree, type TreeNode, toBytes } from "./source-tree.js";

interface DocumentNode extends TreeNode {
  bytes: Buffer;
}

/** Files whose content is in the Dockerfile: the heredocs of COPY. */
export function documentTree(
  documents: readonly { name: string; content: string }[],
  now: number,
): SourceTree<DocumentNode> & { matches(): Promise<Match<DocumentNode>[]> } {
  const nodes = new Map(
    documents.map(({ name, content }) => [toBytes(name), nodeOf("file", Buffer.from(content), now)]),
  );
  const root = nodeOf("directory", Buffer.alloc(0), now);
  return {
    name: "the Dockerfile",
    keepsOwners: true,
    root: async () => root,
    child: async (_directory, name) => nodes.get(name),
    names: async () => [...nodes.keys()].sort(),
    target: async () => "",
    async *content({ bytes }) {
      yield bytes;
    },
    digest: async ({ bytes }) => createHash("sha256").update(bytes).digest("hex"),
    matches: async () => [...nodes].map(([name, node]) => ({ name, node, names: [name] })),
    [Symbol.dispose]: () => undefined,
  };
}

function nodeOf(type: "file" | "directory", bytes: Buffer, now: number): DocumentNode {
  return {
    type,
    mode: type === "file" ? 0o644 : 0o755,
    uid: 0,
    gid: 0,
    mtimeSeconds: now,
    size: bytes.length,
    major: 0,
    minor: 0,
    xattrs: undefined,
    identity: undefined,
    bytes,
  };
}
