import type { Handles } from "../handles.js";
import type { FileNode } from "../node-table.js";
import type { SymlinkPolicy } from "../options.js";
import type { FileTree, Found } from "../tree.js";
import {
  ENTRY_ATTRIBUTES,
  ENTRY_BYTES,
  type Owner,
  Refusal,
  type Request,
  writeAttributes,
  writeEntry,
} from "../wire.js";

/** What a request is served with. */
export interface Session {
  tree: FileTree;
  handles: Handles;
  owner: Owner;
  readOnly: boolean;
  symlinks: SymlinkPolicy;
}

/** A body behind room for the reply's header: saves a copy of what is large. */
export class Framed {
  readonly message: Buffer;

  constructor(message: Buffer) {
    this.message = message;
  }
}

export type Reply = Buffer | Framed | undefined;
/** Serves one kind of request. What it throws becomes the errno of the reply. */
export type Handler = (session: Session, request: Request) => Reply | Promise<Reply>;

export function nodeOf({ tree }: Session, request: Request): FileNode {
  return tree.nodes.get(request.node);
}

/** The folder in which a request is about to change something. */
export function writableFolder(session: Session, id: number): FileNode {
  requireWritable(session);
  return session.tree.nodes.get(id);
}

export function requireWritable({ readOnly }: Session): void {
  if (readOnly) throw new Refusal("EROFS");
}

/** The answer that names a node: from here on the kernel refers to it. */
export function entryOf({ tree, owner }: Session, { node, stats }: Found): Buffer {
  const out = Buffer.allocUnsafe(ENTRY_BYTES);
  writeEntry(out, 0, node.id);
  writeAttributes(out, ENTRY_ATTRIBUTES, stats, tree.inode(stats), owner);
  node.lookups++;
  return out;
}

/** The entry of what has just been made. */
export function newEntry(session: Session, folder: FileNode, name: string): Buffer {
  const found = session.tree.lookup(folder, name);
  if (!found) throw new Refusal("ENOENT");
  return entryOf(session, found);
}
