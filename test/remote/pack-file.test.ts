import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { parseTree } from "../../src/remote/git/objects.js";
import { applyDelta, PackFile } from "../../src/remote/git/pack-file.js";
import { parseModules, submoduleUrl } from "../../src/remote/git/submodules.js";

const folder = mkdtempSync(join(tmpdir(), "supermachine-pack-"));
afterAll(() => rmSync(folder, { recursive: true }));

const BLOB = 3;
const REF_DELTA = 7;
const oidOf = (content: Buffer) => createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");

/** An object as a pack has it. @param size that its header tells */
function entry(code: number, content: Buffer, base = "", size = content.length): Buffer {
  const header: number[] = [];
  let rest = Math.floor(size / 16);
  let byte = (code << 4) | (size % 16);
  for (; rest > 0; rest = Math.floor(rest / 128)) {
    header.push(byte | 0x80);
    byte = rest % 128;
  }
  return Buffer.concat([Buffer.from([...header, byte]), Buffer.from(base, "hex"), deflateSync(content)]);
}

async function opened(entries: Buffer[], { count = entries.length, most = 1e6, extra = 0 } = {}) {
  const head = Buffer.from("PACK\0\0\0\x02\0\0\0\0", "latin1");
  head.writeUInt32BE(count, 8);
  const path = join(folder, "pack");
  writeFileSync(path, Buffer.concat([head, ...entries, Buffer.alloc(20 + extra)]));
  using pack = await PackFile.open(path, most);
  return new Map([...pack.objects].map(([oid, { type }]) => [oid, pack.read(oid, type).toString()]));
}

test("objects are known by what they are, deltas upon later ones too", async () => {
  const [one, two] = [Buffer.from("one of them"), Buffer.from("one more of them")];
  // Copies 4 bytes from 0, inserts "more ", copies 7 from 4.
  const delta = Buffer.from([11, 16, 0x90, 4, 5, ...Buffer.from("more "), 0x91, 4, 7]);
  const all = await opened([entry(REF_DELTA, delta, oidOf(one)), entry(BLOB, one)]);
  expect(all).toEqual(new Map([one, two].map((content) => [oidOf(content), content.toString()])));
});

test("a pack that is damaged or larger than it may be is refused", async () => {
  const blob = entry(BLOB, Buffer.from("content"));
  await expect(opened([blob], { count: 2 })).rejects.toThrow("the git server sent");
  await expect(opened([blob], { extra: 1 })).rejects.toThrow("bytes that belong to nothing");
  await expect(opened([blob], { count: 4_000_000 })).rejects.toThrow("it has 4000000 objects");
  await expect(opened([entry(BLOB, Buffer.from("content"), "", 100)])).rejects.toThrow("another size");
  await expect(opened([entry(BLOB, Buffer.alloc(5000), "", 10)])).rejects.toThrow("the git server sent");
  await expect(opened([entry(BLOB, Buffer.from("x"), "", 1e9)])).rejects.toThrow("1000000000 bytes");
  await expect(opened([entry(0, Buffer.from("x"))])).rejects.toThrow("unknown type");
  await expect(opened([blob.subarray(0, 4)])).rejects.toThrow("the git server sent");
  await expect(opened([entry(REF_DELTA, Buffer.from([1, 1, 1, 1]), "0".repeat(40))])).rejects.toThrow("has no base");
  await expect(opened([entry(BLOB, Buffer.alloc(600_000)), entry(BLOB, Buffer.alloc(600_001))])).rejects.toThrow(
    "more than 1000000 bytes",
  );
  const bomb = Buffer.from([3, 0xff, 0xff, 0xff, 0xff, 7]);
  await expect(
    opened([entry(BLOB, Buffer.from("abc")), entry(REF_DELTA, bomb, oidOf(Buffer.from("abc")))]),
  ).rejects.toThrow("at most");
});

test("a delta stays within its base, itself and its result", () => {
  const base = Buffer.from("abc");
  expect(applyDelta(base, Buffer.from([3, 3, 0x90, 3])).toString()).toBe("abc");
  for (const bytes of [
    [2, 1, 0x90, 1],
    [3, 4, 0x90, 4],
    [3, 1, 0x90, 2],
    [3, 3, 0x91, 2, 3],
    [3, 2, 2, 65],
    [3, 1, 0],
    [3, 5, 0x90, 3],
  ]) {
    expect(() => applyDelta(base, Buffer.from(bytes)), String(bytes)).toThrow(/malformed|of another/);
  }
});

test("folders are read as git writes them, and nothing else", () => {
  const oid = Buffer.alloc(20, 7);
  const line = (text: string) => Buffer.concat([Buffer.from(`${text}\0`, "latin1"), oid]);
  expect(parseTree(Buffer.concat([line("100755 a b"), line("40000 d")]))).toEqual(
    new Map([
      ["a b", { kind: "executable", oid: oid.toString("hex") }],
      ["d", { kind: "folder", oid: oid.toString("hex") }],
    ]),
  );
  for (const bad of [
    line("100644 .."),
    line("100644 a/b"),
    line("100644 "),
    line("60644 x"),
    line("100644 x").subarray(0, -1),
  ]) {
    expect(() => parseTree(bad)).toThrow("the git repository has");
  }
  expect(() => parseTree(Buffer.concat([line("100644 a"), line("40000 a")]))).toThrow("leads elsewhere");
});

test("submodules are where .gitmodules says, by http, https or git:// only", () => {
  const text =
    '[submodule "a"]\n\tpath = x/a\n\turl = ../a.git\n[submodule "b"]\n  url = "https://y/b"\n  path=b\n[submodule "c"]\npath = c\n';
  expect(parseModules(text)).toEqual(
    new Map([
      ["x/a", "../a.git"],
      ["b", "https://y/b"],
    ]),
  );
  expect(submoduleUrl("../a.git", "https://u@x/o/r.git")).toBe("https://u@x/o/a.git");
  expect(submoduleUrl("./a/../b", "git://x/o/r/")).toBe("git://x/o/r/b");
  expect(submoduleUrl("../../../../a", "https://x/o/r")).toBe("https://x/a");
  for (const url of ["file:///etc", "/etc", "ext::sh -c id", "git@x:a", "ssh://x/a", "--upload-pack=id"]) {
    expect(() => submoduleUrl(url, "https://x/r"), url).toThrow("only https, http and git://");
  }
});
