import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { UsageError } from "../../errors.js";
import type { GitEntry } from "./objects.js";
import type { PackedObject } from "./pack-file.js";
import type { GitCheckout } from "./repository.js";

/** A folder, or a file, of what git itself keeps of a repository. */
export type MadeNode = ReadonlyMap<string, MadeNode> | MadeFile;

export interface MadeFile {
  size: number;
  content(): AsyncIterable<Buffer>;
}

const INDEX_MAGIC = Buffer.from("ff744f6300000002", "hex");
/** Offsets above need a table of their own. */
const MOST_PACK = 2 ** 31 - 1;
const MOST_FILES = 1_000_000;
const MODES = { file: 0o100644, executable: 0o100755, link: 0o120000, folder: 0o40000, submodule: 0o160000 };

/** The `.git` of a checkout: as after `git fetch --depth 1` and a checkout of the commit. @throws UsageError when the pack is too large */
export async function gitDirectory(checkout: GitCheckout): Promise<MadeNode> {
  const { pack, wanted, shallow } = checkout;
  const { size } = await stat(pack.path);
  if (size > MOST_PACK) throw new UsageError(`the git repository has ${size} bytes, too many for --keep-git-dir`);
  const trailer = await readTrailer(pack.path, size);
  const name = `pack-${trailer.toString("hex")}`;
  const empty = new Map<string, MadeNode>();
  const packs: [string, MadeNode][] = [
    [`${name}.idx`, file(await packIndex([...pack.objects.values()], pack.path, trailer))],
    [`${name}.pack`, { size, content: () => createReadStream(pack.path) as AsyncIterable<Buffer> }],
  ];
  return new Map<string, MadeNode>([
    ["HEAD", file(`${wanted.commit}\n`)],
    ["config", file(config(checkout.remote))],
    ["index", file(stagingIndex(checkout))],
    [
      "objects",
      new Map<string, MadeNode>([
        ["info", empty],
        ["pack", new Map(packs)],
      ]),
    ],
    ["packed-refs", file(packedRefs(checkout))],
    [
      "refs",
      new Map<string, MadeNode>([
        ["heads", empty],
        ["tags", empty],
      ]),
    ],
    ...(shallow.length > 0 ? [["shallow", file(`${shallow.join("\n")}\n`)] as [string, MadeNode]] : []),
  ]);
}

function file(content: string | Buffer): MadeFile {
  const bytes = Buffer.from(content as string);
  return {
    size: bytes.length,
    async *content() {
      yield bytes;
    },
  };
}

/** Without what may be a secret. */
function config(remote: string): string {
  const url = new URL(remote);
  url.username = "";
  url.password = "";
  const quoted = url.href.replace(/["\\]/g, "\\$&");
  return `[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
[remote "origin"]
\turl = "${quoted}"
\tfetch = +refs/heads/*:refs/remotes/origin/*
`;
}

/** A branch is that of the remote; a tag is a tag. Names come from the server. */
function packedRefs({ wanted: { ref, object, commit } }: GitCheckout): string {
  const head = "# pack-refs with: peeled fully-peeled sorted \n";
  const [, kind, name] = /^refs\/(heads|tags)\/([\w./+-]+)$/.exec(ref ?? "") ?? [];
  if (name === undefined || name.includes("..")) return head;
  const peeled = object === commit ? "" : `^${commit}\n`;
  return `${head}${object} refs/${kind === "heads" ? "remotes/origin" : "tags"}/${name}\n${peeled}`;
}

async function readTrailer(path: string, size: number): Promise<Buffer> {
  await using handle = await open(path, "r");
  const { buffer } = await handle.read(Buffer.alloc(20), 0, 20, size - 20);
  return buffer;
}

/** Version 2 (gitformat-pack(5)). */
async function packIndex(objects: PackedObject[], path: string, trailer: Buffer): Promise<Buffer> {
  objects.sort((a, b) => (a.oid < b.oid ? -1 : 1));
  const fanout = Buffer.alloc(256 * 4);
  for (let byte = 0, at = 0; byte < 256; byte++) {
    while (at < objects.length && Number.parseInt(objects[at]?.oid.slice(0, 2) ?? "", 16) <= byte) at++;
    fanout.writeUInt32BE(at, byte * 4);
  }
  const checksums = Buffer.alloc(objects.length * 4);
  const offsets = Buffer.alloc(objects.length * 4);
  await using handle = await open(path, "r");
  for (const [i, { offset, length }] of objects.entries()) {
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, offset);
    checksums.writeUInt32BE(crc32(buffer), i * 4);
    offsets.writeUInt32BE(offset, i * 4);
  }
  const oids = objects.map(({ oid }) => Buffer.from(oid, "hex"));
  return withDigest(Buffer.concat([INDEX_MAGIC, fanout, ...oids, checksums, offsets, trailer]));
}

/** Version 2 (gitformat-index(5)), so that nothing counts as removed. Git compares the files once, since their times are others. */
function stagingIndex(checkout: GitCheckout): Buffer {
  const entries: Buffer[] = [];
  const add = (prefix: string, folder: GitEntry) => {
    for (const [name, entry] of checkout.list(folder)) {
      if (entry.kind === "folder") add(`${prefix}${name}/`, entry);
      else if (entries.length === MOST_FILES)
        throw new UsageError(`the git repository has more than ${MOST_FILES} files`);
      else entries.push(stagingEntry(checkout, prefix + name, entry));
    }
  };
  add("", checkout.root);
  const head = Buffer.from("DIRC\0\0\0\x02\0\0\0\0", "latin1");
  head.writeUInt32BE(entries.length, 8);
  return withDigest(Buffer.concat([head, ...entries.sort(byPath)]));
}

const PATH_AT = 62;

function byPath(a: Buffer, b: Buffer): number {
  return a.compare(b, PATH_AT, b.length, PATH_AT, a.length);
}

function stagingEntry(checkout: GitCheckout, path: string, entry: GitEntry): Buffer {
  const name = Buffer.from(path, "latin1");
  const bytes = Buffer.alloc(Math.floor((PATH_AT + name.length + 8) / 8) * 8);
  bytes.writeUInt32BE(MODES[entry.kind], 24);
  bytes.writeUInt32BE(entry.kind === "submodule" ? 0 : checkout.size(entry), 36);
  bytes.write(entry.oid, 40, "hex");
  bytes.writeUInt16BE(Math.min(name.length, 0xfff), 60);
  name.copy(bytes, PATH_AT);
  return bytes;
}

function withDigest(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, createHash("sha1").update(bytes).digest()]);
}
