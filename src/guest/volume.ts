import { UsageError } from "../errors.js";
import { FieldWriter } from "./fields.js";

const KIND_VOLUME = 48;
const FLAG_READ_ONLY = 1;

/** A disk with ext4 on a LUN of the guest, to be mounted in the workload's root. */
export interface VolumeRequest {
  lun: number;
  /** Absolute; missing folders are made. */
  path: string;
  readOnly: boolean;
  /** How long the disk may take to appear, 10 s by default. */
  timeoutMs?: number;
}

export function encodeVolume({ lun, path, readOnly, timeoutMs }: VolumeRequest): Buffer {
  if (!path.startsWith("/") || path.includes("\0") || Buffer.byteLength(path) > 4095) {
    throw new UsageError(`Not an absolute path in the guest: ${JSON.stringify(path.slice(0, 100))}`);
  }
  const fields = new FieldWriter().kind(KIND_VOLUME).u16(1, lun).string(2, path);
  fields.u32(3, readOnly ? FLAG_READ_ONLY : 0);
  if (timeoutMs !== undefined) fields.u32(4, timeoutMs);
  return fields.toBuffer();
}
