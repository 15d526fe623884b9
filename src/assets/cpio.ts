/** A file of an initramfs. Folders come before what is in them. */
export interface CpioEntry {
  path: string;
  /** Type and permissions, as in `st_mode`. */
  mode: number;
  content?: Uint8Array;
}

/** An archive in the "newc" format, which the kernel unpacks as its first root (Documentation/driver-api/early-userspace/buffer-format). */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  const all = [...entries, { path: "TRAILER!!!", mode: 0 }];
  for (const [index, { path, mode, content = Buffer.alloc(0) }] of all.entries()) {
    const name = Buffer.from(`${path}\0`);
    // inode, mode, uid, gid, links, mtime, size, device and rdev (major, minor each), name's size, checksum
    const fields = [index + 1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
    parts.push(padded(Buffer.concat([header, name])), padded(Buffer.from(content)));
  }
  return Buffer.concat(parts);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
