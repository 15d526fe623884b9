import { FieldWriter } from "./fields.js";
import { checkedPath } from "./files.js";

const KIND_MOUNT = 65;
const FLAG = { readOnly: 1, file: 2 } as const;

/** Files of layers, or memory, to be mounted in the workload's root. */
export interface MountRequest {
  /** Absolute; what is missing is made. */
  path: string;
  /** LUNs of disks with EROFS, lowest layer first; none gives memory. */
  luns?: readonly number[];
  /** Absolute, what of the layers is mounted: a folder or a file; by default all. */
  source?: string;
  /** Of layers: what is written is in memory otherwise, until the machine ends. */
  readOnly?: boolean;
  /** Memory as one empty file, not a folder. */
  asFile?: boolean;
  /** Most bytes of memory; half of what the machine has by default. */
  bytes?: number | undefined;
}

export function encodeMount({ path, luns = [], source, readOnly, asFile, bytes }: MountRequest): Buffer {
  const fields = new FieldWriter().kind(KIND_MOUNT).string(2, checkedPath(path));
  for (const lun of luns) fields.u16(1, lun);
  fields.u32(3, (readOnly ? FLAG.readOnly : 0) | (asFile ? FLAG.file : 0));
  if (source !== undefined) fields.string(5, checkedPath(source));
  if (bytes !== undefined) fields.u64(6, BigInt(bytes));
  return fields.toBuffer();
}
