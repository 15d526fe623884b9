import { execFileSync } from "node:child_process";
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { ContentDigest, finishListing, formatMtime, type ListedNode, type Listing } from "./tree-listing.js";

const BLOCK = 4096;
const PIECE = 256 * BLOCK;

/** Lists a folder of the host as {@link readErofs} lists an image. */
export function readFolder(root: string): Listing {
  const xattrs = readXattrs(root);
  const nodes: [string, string, ListedNode][] = [];
  const walk = (path: string) => {
    const full = Buffer.from(`${root}/${path}`, "latin1");
    const stats = lstatSync(full, { bigint: true });
    const node: ListedNode = {
      type: typeOf(stats),
      mode: (Number(stats.mode) & 0o7777).toString(8),
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      mtime: formatMtime(stats.mtimeNs / 1_000_000_000n, stats.mtimeNs % 1_000_000_000n),
      nlink: Number(stats.nlink),
    };
    const attributes = xattrs.get(path);
    if (attributes) node.xattrs = attributes;
    if (node.type === "file") addContent(node, full, Number(stats.size));
    if (node.type === "symlink") node.target = readlinkSync(full, "latin1");
    if (node.type === "char" || node.type === "block") node.device = deviceOf(Number(stats.rdev));
    nodes.push([path, String(stats.ino), node]);
    if (node.type !== "directory") return;
    const names = readdirSync(full, { encoding: "buffer" }).map((name) => name.toString("latin1"));
    for (const name of names) walk(path === "." ? name : `${path}/${name}`);
    // Not every file system of a host counts subdirectories.
    node.nlink = 2 + names.filter((name) => isDirectory(`${root}/${path}/${name}`)).length;
  };
  walk(".");
  return finishListing(nodes);
}

function typeOf(stats: ReturnType<typeof lstatSync>): ListedNode["type"] {
  if (stats?.isFile()) return "file";
  if (stats?.isDirectory()) return "directory";
  if (stats?.isSymbolicLink()) return "symlink";
  if (stats?.isCharacterDevice()) return "char";
  if (stats?.isBlockDevice()) return "block";
  return stats?.isFIFO() ? "fifo" : "socket";
}

function isDirectory(path: string): boolean {
  return lstatSync(Buffer.from(path, "latin1")).isDirectory();
}

function addContent(node: ListedNode, path: Buffer, size: number): void {
  const digest = new ContentDigest();
  const buffer = Buffer.alloc(PIECE);
  const file = openSync(path, "r");
  try {
    for (let offset = 0; offset < size; ) {
      const count = readSync(file, buffer, 0, PIECE, offset);
      for (let at = 0; at < count; at += BLOCK) {
        digest.block(offset + at, buffer.subarray(at, Math.min(at + BLOCK, count)));
      }
      offset += count;
    }
  } finally {
    closeSync(file);
  }
  node.size = size;
  node.content = digest.value(size);
}

function deviceOf(rdev: number): string {
  return `${(rdev >> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >>> 12) & 0xfff00)}`;
}

/** By path; the values in hex. Names are escaped by getfattr as \ooo. */
function readXattrs(root: string): Map<string, Record<string, string>> {
  const output = execFileSync("getfattr", ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "."], {
    cwd: root,
    encoding: "latin1",
    maxBuffer: 256 * 1024 * 1024,
  });
  const found = new Map<string, Record<string, string>>();
  for (const paragraph of output.split("\n\n")) {
    const [heading, ...lines] = paragraph.split("\n").filter((line) => line !== "");
    if (!heading) continue;
    const path = unescapeOctal(heading.replace(/^# file: /, "")).replace(/^\.\//, "");
    const values: Record<string, string> = {};
    for (const line of lines) {
      const [, name = "", hex = ""] = /^([^=]+)(?:=0x([0-9a-f]*))?/.exec(line) ?? [];
      values[unescapeOctal(name)] = hex;
    }
    found.set(path, values);
  }
  return found;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
