import { createHash } from "node:crypto";
import type { Match } from "./glob.js";
import { type SourceTree, type TreeNode, toBytes } from "./source-tree.js";

/** A file that is given one by one, not found in a folder. */
export interface SingleFile {
  name: string;
  mode: number;
  mtimeSeconds: number;
  size: number;
  content(): AsyncIterable<Buffer>;
  /** SHA-256 of the content, hexadecimal. */
  digest(): Promise<string>;
}

interface FileNode extends TreeNode {
  file: SingleFile | undefined;
}

/** A tree of a few files, and all of them as what is to be copied. */
export type FilesTree = SourceTree<FileNode> & { matches(): Promise<Match<FileNode>[]> };

/** Files that belong to root, beside each other. @param name for messages */
export function filesTree(name: string, files: readonly SingleFile[]): FilesTree {
  const nodes = new Map(files.map((file) => [toBytes(file.name), nodeOf(file)]));
  return {
    name,
    keepsOwners: true,
    root: async () => ROOT,
    child: async (_directory, childName) => nodes.get(childName),
    names: async () => [...nodes.keys()].sort(),
    target: async () => "",
    async *content({ file }) {
      if (file) yield* file.content();
    },
    digest: async ({ file }) => (file ? await file.digest() : ""),
    matches: async () => [...nodes].map(([each, node]) => ({ name: each, node, names: [each] })),
    [Symbol.dispose]: () => undefined,
  };
}

/** Files whose content is in the Dockerfile: the heredocs of COPY. */
export function documentTree(documents: readonly { name: string; content: string }[], now: number): FilesTree {
  const files = documents.map(({ name, content }): SingleFile => {
    const bytes = Buffer.from(content);
    return {
      name,
      mode: 0o644,
      mtimeSeconds: now,
      size: bytes.length,
      async *content() {
        yield bytes;
      },
      digest: async () => createHash("sha256").update(bytes).digest("hex"),
    };
  });
  return filesTree("the Dockerfile", files);
}

const BLANK = { uid: 0, gid: 0, major: 0, minor: 0, xattrs: undefined, identity: undefined } as const;
const ROOT: FileNode = { ...BLANK, type: "directory", mode: 0o755, mtimeSeconds: 0, size: 0, file: undefined };

function nodeOf(file: SingleFile): FileNode {
  const { mode, mtimeSeconds, size } = file;
  return { ...BLANK, type: "file", mode, mtimeSeconds, size, file };
}
