import { posix } from "node:path";
import type { Readable, Writable } from "node:stream";
import { VmError } from "../errors.js";
import { ask } from "./ask.js";
import { FieldWriter } from "./fields.js";
import { decodeFileInfo, type FileInfo } from "./file-info.js";
import { FileWatcher } from "./file-watcher.js";
import {
  checkedPath,
  type FileContent,
  fileError,
  openChannel,
  openRead,
  openWrite,
  type ReadOptions,
  readFile,
  type WriteOptions,
  writeFile,
} from "./files.js";
import type { Link } from "./link.js";
import { RECORD_MAX, RecordDecoder } from "./records.js";

const KIND = { change: 36, list: 37, watch: 38 } as const;
const CHANGE = { mkdir: 1, remove: 2, rename: 3, chmod: 4, chown: 5, symlink: 6 } as const;
const FLAG = { parents: 1, recursive: 2, force: 4, noFollow: 8 } as const;
const LIST = { recursive: 1, follow: 2, self: 4 } as const;
const WATCH = { recursive: 1 } as const;

/** What a change of files is told. */
export interface Change {
  path: string;
  target?: string;
  mode?: number;
  user?: string;
  parents?: boolean | undefined;
  recursive?: boolean | undefined;
  force?: boolean | undefined;
  noFollow?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** Files of the workload. Paths are absolute; whatever they hold stays within its root. All reject with GuestFileError or VmError. */
export class GuestFiles {
  readonly #link: Link;

  constructor(link: Link) {
    this.#link = link;
  }

  read(path: string, options?: ReadOptions): Promise<Buffer> {
    return readFile(this.#link, path, options);
  }

  /** The file as a stream, for what is large. */
  openRead(path: string, options?: ReadOptions): Readable {
    return openRead(this.#link, path, options);
  }

  write(path: string, data: FileContent, options?: WriteOptions): Promise<void> {
    return writeFile(this.#link, path, data, options);
  }

  openWrite(path: string, options?: WriteOptions): Writable {
    return openWrite(this.#link, path, options);
  }

  async stat(path: string, options: { follow: boolean; signal?: AbortSignal | undefined }): Promise<FileInfo> {
    const flags = LIST.self | (options.follow ? LIST.follow : 0);
    for await (const info of this.#look(path, flags, "look at", options.signal)) {
      return { ...info, name: posix.basename(path) };
    }
    throw new VmError(`The guest said nothing about ${path}`);
  }

  /** As they come: what is not read yet waits in the guest. */
  list(path: string, options: { recursive: boolean; signal?: AbortSignal | undefined }): AsyncGenerator<FileInfo> {
    return this.#look(path, options.recursive ? LIST.recursive : 0, "list", options.signal);
  }

  async *#look(path: string, flags: number, verb: string, signal: AbortSignal | undefined): AsyncGenerator<FileInfo> {
    const payload = new FieldWriter().kind(KIND.list).string(1, checkedPath(path)).u32(4, flags).toBuffer();
    const found: FileInfo[] = [];
    const decoder = new RecordDecoder(RECORD_MAX, (record) => found.push(decodeFileInfo(record)));
    for await (const chunk of openChannel(this.#link, payload, { verb, path, signal }) as AsyncIterable<Buffer>) {
      decoder.push(chunk);
      yield* found.splice(0);
    }
  }

  /** Resolves when the watching has begun. */
  watch(path: string, options: { recursive: boolean; signal?: AbortSignal | undefined }): Promise<FileWatcher> {
    const flags = options.recursive ? WATCH.recursive : 0;
    const payload = new FieldWriter().kind(KIND.watch).string(1, checkedPath(path)).u32(4, flags).toBuffer();
    return FileWatcher.begin(openChannel(this.#link, payload, { verb: "watch", path, signal: options.signal }));
  }

  mkdir(change: Change): Promise<void> {
    return this.#change("mkdir", "make", change);
  }

  remove(change: Change): Promise<void> {
    return this.#change("remove", "remove", change);
  }

  rename(change: Change): Promise<void> {
    return this.#change("rename", "rename", change);
  }

  chmod(change: Change): Promise<void> {
    return this.#change("chmod", "set the mode of", change);
  }

  chown(change: Change): Promise<void> {
    return this.#change("chown", "give an owner to", change);
  }

  symlink(change: Change): Promise<void> {
    return this.#change("symlink", "make the link", change);
  }

  async #change(kind: keyof typeof CHANGE, verb: string, change: Change): Promise<void> {
    const { path, target, mode, user } = change;
    const fields = new FieldWriter().kind(KIND.change).string(1, checkedPath(path));
    if (mode !== undefined) fields.u32(2, mode & 0o7777);
    if (user !== undefined) fields.string(3, user);
    fields.u32(
      4,
      (change.parents ? FLAG.parents : 0) |
        (change.recursive ? FLAG.recursive : 0) |
        (change.force ? FLAG.force : 0) |
        (change.noFollow ? FLAG.noFollow : 0),
    );
    if (target !== undefined) fields.string(5, checkedPath(target));
    fields.u16(6, CHANGE[kind]);
    await ask(this.#link, fields.toBuffer(), {
      fail: (failure) => fileError(failure, verb, path),
      signal: change.signal,
    });
  }
}
