import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SymlinkPolicy } from "../../src/mounts/options.js";
import { FolderServer } from "../../src/mounts/server.js";
import { Opcode } from "../../src/mounts/wire.js";

export { Opcode } from "../../src/mounts/wire.js";

export interface Answer {
  errno: number;
  body: Buffer;
}

/** The kernel's part of FUSE, which says whatever a test wants, to a server of a folder of its own. */
export class FuseClient implements Disposable {
  /** The folder's path; `beside` is one next to it, in which nothing may ever happen. */
  readonly root: string;
  readonly beside: string;
  readonly server: FolderServer;
  consumed = 0;
  sent = 0;
  /** Whether answers are taken; those that are not wait. */
  takes = true;
  readonly #scratch: string;
  readonly #waiting = new Map<bigint, (answer: Answer) => void>();
  readonly #untaken: (() => void)[] = [];
  #unique = 0n;

  constructor(options: { readOnly?: boolean; symlinks?: SymlinkPolicy; nodes?: number; handles?: number } = {}) {
    const { readOnly = false, symlinks = "opaque", nodes = 1000, handles = 50 } = options;
    this.#scratch = realpathSync(mkdtempSync(join(tmpdir(), "supermachine-fuse-")));
    [this.root, this.beside] = [scratchFolder(this.#scratch, "root"), scratchFolder(this.#scratch, "beside")];
    const limits = { nodes, handles, folders: 4 };
    this.server = new FolderServer({ host: this.root, readOnly, symlinks }, { uid: 7, gid: 8 }, limits, {
      send: (message, done) => this.#take(message, done),
      consumed: (bytes) => {
        this.consumed += bytes;
      },
    });
  }

  /** Sends a request and gives what is answered. */
  request(opcode: number, node: number | bigint, body: Buffer = Buffer.alloc(0)): Promise<Answer> {
    const unique = ++this.#unique;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(unique, resolve));
    this.say(message(opcode, node, body, unique));
    return answered;
  }

  say(bytes: Buffer): void {
    this.sent += bytes.length;
    this.server.take(bytes);
  }

  /** The number of what is at a path below the root. @throws Error with the errno */
  async find(path: string): Promise<number> {
    let node = 1;
    for (const name of path.split("/")) {
      const { errno, body } = await this.request(Opcode.lookup, node, text(name));
      node = errno === 0 ? Number(body.readBigUInt64LE(0)) : 0;
      if (node === 0) throw new Error(`${path}: ${errno}`);
    }
    return node;
  }

  /** Opens a node; gives the handle. */
  async open(node: number, flags = 0): Promise<bigint> {
    const { errno, body } = await this.request(Opcode.open, node, u32(flags, 0));
    if (errno !== 0) throw new Error(`open: ${errno}`);
    return body.readBigUInt64LE(0);
  }

  async read(handle: bigint, offset = 0, size = 4096): Promise<string> {
    const { body } = await this.request(Opcode.read, 1, readIn(handle, offset, size));
    return body.toString();
  }

  takeAll(): void {
    this.takes = true;
    for (const done of this.#untaken.splice(0)) done();
  }

  #take(bytes: Buffer, done: () => void): void {
    if (bytes.readUInt32LE(0) !== bytes.length) throw new Error("a reply with a wrong length");
    const unique = bytes.readBigUInt64LE(8);
    this.#waiting.get(unique)?.({ errno: Math.abs(bytes.readInt32LE(4)), body: bytes.subarray(16) });
    this.#waiting.delete(unique);
    if (this.takes) done();
    else this.#untaken.push(done);
  }

  [Symbol.dispose](): void {
    this.server[Symbol.dispose]();
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}

function scratchFolder(scratch: string, name: string): string {
  return mkdtempSync(join(scratch, name));
}

/** A whole request. */
export function message(opcode: number, node: number | bigint, body: Buffer, unique = 1n): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt32LE(40 + body.length, 0);
  header.writeUInt32LE(opcode, 4);
  header.writeBigUInt64LE(unique, 8);
  header.writeBigUInt64LE(BigInt(node), 16);
  return Buffer.concat([header, body]);
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, 4 * index);
  return bytes;
}

export function u64(...values: (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(BigInt(value), 8 * index);
  return bytes;
}

/** Each followed by its NUL. */
export function text(...names: (string | Buffer)[]): Buffer {
  return Buffer.concat(names.flatMap((name) => [Buffer.from(name as string), Buffer.from([0])]));
}

export function readIn(handle: bigint | number, offset: number | bigint, size: number): Buffer {
  return Buffer.concat([u64(handle, offset), u32(size, 0), u64(0), u32(0, 0)]);
}

export function writeIn(handle: bigint | number, offset: number, data: Buffer, openFlags = 0): Buffer {
  return Buffer.concat([u64(handle, offset), u32(data.length, 0), u64(0), u32(openFlags, 0), data]);
}

export function createIn(name: string, flags = 2, mode = 0o100644): Buffer {
  return Buffer.concat([u32(flags, mode, 0, 0), text(name)]);
}
