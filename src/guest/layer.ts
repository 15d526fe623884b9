import type { Readable } from "node:stream";
import { FieldWriter } from "./fields.js";
import { checkedPath, openChannel } from "./files.js";
import type { Link } from "./link.js";

const KIND_LAYER = 64;

/** The archive of what was written into the workload's root. Fails with GuestFileError or VmError. */
export function openLayer(link: Link, leaveOut: readonly string[], signal: AbortSignal | undefined): Readable {
  const fields = new FieldWriter().kind(KIND_LAYER);
  for (const path of leaveOut) fields.string(1, checkedPath(path));
  return openChannel(link, fields.toBuffer(), { verb: "read the layer that was written at", path: "/", signal });
}
