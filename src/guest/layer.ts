import type { Readable } from "node:stream";
import { FieldWriter } from "./fields.js";
import { checkedPath, openChannel } from "./files.js";
import type { Link } from "./link.js";

const KIND_LAYER = 64;

/** What is no part of a layer as long as it is empty, by absolute paths: files, and folders, the deeper ones first. */
export interface LeftOut {
  files: readonly string[];
  folders?: readonly string[];
}

/** The archive of what was written into the workload's root. Fails with GuestFileError or VmError. */
export function openLayer(link: Link, { files, folders = [] }: LeftOut, signal: AbortSignal | undefined): Readable {
  const fields = new FieldWriter().kind(KIND_LAYER);
  for (const path of files) fields.string(1, checkedPath(path));
  for (const path of folders) fields.string(2, checkedPath(path));
  return openChannel(link, fields.toBuffer(), { verb: "read the layer that was written at", path: "/", signal });
}
