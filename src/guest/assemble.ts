import { UsageError } from "../errors.js";
import { FieldWriter } from "./fields.js";
import { checkedPath } from "./files.js";

const KIND_ASSEMBLE = 4;
const KIND_SHUTDOWN = 5;
const FLAG_KEEPS_LAYER = 1;
const LAYERS_MAX = 256;
const FILES_MAX = 64;

/** A small file of the root that is made when it is assembled, such as /etc/hosts. A link in its place is replaced, not followed. */
export interface ExtraFile {
  /** Absolute. */
  path: string;
  mode: number;
  content: string | Uint8Array;
}

export interface AssembleRequest {
  /** The layers' SCSI LUNs, lowest first; none gives an empty root. */
  luns: readonly number[];
  files?: readonly ExtraFile[];
  /** The LUN of a disk with ext4 for what is written into the root, which is in memory otherwise. */
  diskLun?: number;
  /** Upper bound of what can be written into the root in memory; half of it by default. */
  tmpfsBytes?: number;
  /** How long the disks may take to appear, 15 s by default. */
  timeoutMs?: number;
  hostname?: string;
  /** Kernel parameters by name, such as `net.core.somaxconn`. */
  sysctls?: Readonly<Record<string, string>>;
  /** Size of /dev/shm; half of the memory by default. */
  shmBytes?: number;
  /** Keeps what is written into the root apart, for {@link Agent.readLayer}. The files then lie over those of the root, and are no part of it. */
  keepLayer?: boolean;
  /** With `keepLayer`: absolute paths of folders to mount upon, which are no part of it. */
  places?: readonly string[];
}

export function encodeAssemble(request: AssembleRequest): Buffer {
  const files = request.files ?? [];
  if (request.luns.length > LAYERS_MAX)
    throw new UsageError(`${request.luns.length} layers are more than the ${LAYERS_MAX} a guest can stack`);
  if (files.length > FILES_MAX)
    throw new UsageError(`${files.length} extra files are more than the ${FILES_MAX} a guest takes`);
  const fields = new FieldWriter().kind(KIND_ASSEMBLE);
  for (const lun of request.luns) fields.u16(1, lun);
  if (request.tmpfsBytes !== undefined) fields.u64(2, BigInt(request.tmpfsBytes));
  if (request.timeoutMs !== undefined) fields.u32(3, request.timeoutMs);
  if (request.hostname !== undefined) fields.string(4, request.hostname);
  for (const file of files) fields.bytes(5, encodeFile(file));
  for (const [name, value] of Object.entries(request.sysctls ?? {})) fields.string(32, `${name}=${value}`);
  if (request.shmBytes !== undefined) fields.u64(33, BigInt(request.shmBytes));
  if (request.diskLun !== undefined) fields.u16(34, request.diskLun);
  if (request.keepLayer) fields.u32(64, FLAG_KEEPS_LAYER);
  for (const place of request.places ?? []) fields.string(65, checkedPath(place));
  return fields.toBuffer();
}

export function encodeShutdown(graceMs: number): Buffer {
  return new FieldWriter().kind(KIND_SHUTDOWN).u32(1, graceMs).toBuffer();
}

/** u32 mode, u16 length of the path, the path, the content. */
export function encodeFile(file: ExtraFile): Buffer {
  const path = Buffer.from(file.path);
  if (!file.path.startsWith("/") || path.length > 4095)
    throw new UsageError(`Not an absolute path: ${JSON.stringify(file.path)}`);
  const head = Buffer.allocUnsafe(6);
  head.writeUInt32LE(file.mode & 0o7777, 0);
  head.writeUInt16LE(path.length, 4);
  return Buffer.concat([head, path, typeof file.content === "string" ? Buffer.from(file.content) : file.content]);
}
