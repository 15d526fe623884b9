import { VmError } from "../errors.js";
import { Fields } from "./fields.js";

export type FileType = "fifo" | "character-device" | "directory" | "block-device" | "file" | "symlink" | "socket";

/** By the type bits of `st_mode`. */
const TYPES = new Map<number, FileType>([
  [0o010000, "fifo"],
  [0o020000, "character-device"],
  [0o040000, "directory"],
  [0o060000, "block-device"],
  [0o100000, "file"],
  [0o120000, "symlink"],
  [0o140000, "socket"],
]);

/** What is known of a file in the guest. A name that is not UTF-8 has U+FFFD where it is not. */
export interface FileInfo {
  /** The name that was asked for; in a listing, the path below the folder. */
  name: string;
  type: FileType;
  /** Permission bits. */
  mode: number;
  /** In bytes. */
  size: number;
  /** What it takes of its file system; less than `size` for a sparse one. */
  allocatedBytes: number;
  modifiedAt: Date;
  uid: number;
  gid: number;
  inode: number;
  /** How many names it has. */
  links: number;
  /** Where a symbolic link leads, as it is written in it. */
  target?: string;
}

export function decodeFileInfo(record: Buffer): FileInfo {
  const fields = new Fields(record, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  const mode = fields.u32(2);
  const type = TYPES.get(mode & 0o170000);
  if (type === undefined) throw new VmError(`The guest reported a file of the unknown mode ${mode.toString(8)}`);
  return {
    name: fields.bytes(1).toString("utf8"),
    type,
    mode: mode & 0o7777,
    size: Number(fields.u64(3)),
    allocatedBytes: Number(fields.u64(9)),
    modifiedAt: new Date(Number(BigInt.asIntN(64, fields.u64(4)) / 1_000_000n)),
    uid: fields.u32(5),
    gid: fields.u32(6),
    inode: Number(fields.u64(7)),
    links: fields.u32(8),
    ...(fields.has(10) && { target: fields.bytes(10).toString("utf8") }),
  };
}
