import { type FileHandle, open } from "node:fs/promises";
import { ImageError } from "../../errors.js";
import { Malformed, printable } from "../malformed.js";
import { EntryAssembler, metaLimit, type TarEntryType } from "./entry.js";
import { BLOCK, decodeHeader, isEmptyBlock, type TarHeader } from "./header.js";

/** A member of an archive on disk: its content is the bytes `offset` to `offset + size` of the archive. */
export interface IndexedMember {
  type: TarEntryType;
  offset: number;
  size: number;
  /** The target of a link, as it is written in the archive. */
  linkName?: string;
}

/** An archive that holds an image has a few members per layer; this many is no image. */
const MAX_MEMBERS = 1_000_000;

/**
 * The members of an uncompressed tar archive by name (UTF-8, without leading `./` or `/`); of equal names the last counts.
 * Goes from header to header and reads no content, so that an archive of any size takes milliseconds.
 *
 * @throws ImageError when the archive is malformed or truncated.
 */
export async function indexTar(path: string): Promise<Map<string, IndexedMember>> {
  const file = await open(path, "r");
  try {
    return await new Indexer(file, (await file.stat()).size, path).run();
  } finally {
    await file.close();
  }
}

class Indexer {
  readonly #file: FileHandle;
  readonly #size: number;
  readonly #path: string;
  readonly #members = new Map<string, IndexedMember>();
  readonly #assembler = new EntryAssembler();
  #offset = 0;

  constructor(file: FileHandle, size: number, path: string) {
    this.#file = file;
    this.#size = size;
    this.#path = path;
  }

  async run(): Promise<Map<string, IndexedMember>> {
    try {
      while (this.#offset < this.#size) {
        const block = await this.#read(this.#offset, BLOCK, "header");
        if (isEmptyBlock(block)) break;
        await this.#member(decodeHeader(block));
      }
      if (this.#assembler.pending) throw new Malformed("extended headers are not followed by an entry");
      return this.#members;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw new ImageError(`${this.#path} is not a usable tar archive: at byte ${this.#offset}, ${error.message}`, {
        cause: error,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      });
    }
  }

  async #member(header: TarHeader): Promise<void> {
    const start = this.#offset + BLOCK;
    const limit = metaLimit(header.type);
    if (limit !== undefined) {
      if (header.size < 0 || header.size > limit) throw new Malformed(`an extended header has ${header.size} bytes`);
      this.#assembler.meta(header.type, await this.#read(start, header.size, "extended header"));
      this.#offset = start + roundUp(header.size);
      return;
    }
    const { entry, stored, sparse } = this.#assembler.entry(header);
    if (sparse !== undefined) {
      throw new Malformed(`"${printable(entry.name)}" is stored sparse`, "Pack the archive again without --sparse.");
    }
    if (start + stored > this.#size) throw new Malformed(`"${printable(entry.name)}" is truncated`);
    if (this.#members.size >= MAX_MEMBERS) throw new Malformed(`it has more than ${MAX_MEMBERS} members`);
    const name = utf8(entry.name)
      .split("/")
      .filter((part) => part !== "" && part !== ".")
      .join("/");
    const link = entry.linkName === "" ? {} : { linkName: utf8(entry.linkName) };
    this.#members.set(name, { type: entry.type, offset: start, size: stored, ...link });
    this.#offset = start + roundUp(stored);
  }

  async #read(offset: number, length: number, what: string): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await this.#file.read(bytes, 0, length, offset);
    if (bytesRead < length) throw new Malformed(`the ${what} is truncated`);
    return bytes;
  }
}

function roundUp(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function utf8(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString("utf8");
}
