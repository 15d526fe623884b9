import { closeSync, type Dir } from "node:fs";
import type { FileNode } from "./node-table.js";
import { Refusal } from "./wire.js";

/** A file that the guest has open. */
export interface OpenFile {
  node: FileNode;
  fd: number;
  writable: boolean;
  /** A second descriptor, opened at the first append. */
  append: number | undefined;
  /** Operations under way in other threads: a descriptor that is closed under them could by then be another file. */
  busy: number;
  released: boolean;
}

/** A folder that the guest is reading. */
export interface OpenFolder {
  node: FileNode;
  listing: Dir;
  /** How many entries have been given to the guest. */
  position: number;
  /** An entry that was taken, but did not fit into the answer. */
  waiting: { name: string; kind: number } | undefined;
}

type Handle = { file: OpenFile } | { folder: OpenFolder };

/** What the guest has open: at most `limit`, each of which is a descriptor of ours. */
export class Handles implements Disposable {
  readonly #handles = new Map<number, Handle>();
  readonly #limit: number;
  #next = 1;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#handles.size;
  }

  /** To be called before anything is opened. */
  requireRoom(): void {
    if (this.#handles.size >= this.#limit) throw new Refusal("ENFILE");
  }

  addFile(file: OpenFile): number {
    file.node.open ??= new Set();
    file.node.open.add(file);
    return this.#add({ file });
  }

  addFolder(folder: OpenFolder): number {
    return this.#add({ folder });
  }

  file(id: number): OpenFile {
    const handle = this.#handles.get(id);
    if (!handle || !("file" in handle)) throw new Refusal("EBADF");
    return handle.file;
  }

  folder(id: number): OpenFolder {
    const handle = this.#handles.get(id);
    if (!handle || !("folder" in handle)) throw new Refusal("EBADF");
    return handle.folder;
  }

  /** Closes; gives the node that had it open. */
  close(id: number): FileNode | undefined {
    const handle = this.#handles.get(id);
    if (!handle) return undefined;
    this.#handles.delete(id);
    if ("folder" in handle) {
      handle.folder.listing.closeSync();
      return handle.folder.node;
    }
    const { file } = handle;
    file.node.open?.delete(file);
    file.released = true;
    closeIdle(file);
    return file.node;
  }

  [Symbol.dispose](): void {
    for (const id of [...this.#handles.keys()]) this.close(id);
  }

  #add(handle: Handle): number {
    const id = this.#next++;
    this.#handles.set(id, handle);
    return id;
  }
}

/** Keeps the descriptors of the file for as long as the operation needs them. */
export async function whileOpen<T>(file: OpenFile, operation: () => Promise<T>): Promise<T> {
  file.busy++;
  try {
    return await operation();
  } finally {
    file.busy--;
    closeIdle(file);
  }
}

function closeIdle(file: OpenFile): void {
  if (!file.released || file.busy > 0) return;
  closeSync(file.fd);
  if (file.append !== undefined) closeSync(file.append);
}
