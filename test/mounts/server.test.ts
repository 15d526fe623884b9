import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createIn, FuseClient, Opcode, readIn, text, u32, u64, writeIn } from "./fuse-client.js";

const [ENOENT, EBADF, EEXIST, EROFS, ENOSYS, EPERM, EINVAL, ESTALE] = [2, 9, 17, 30, 38, 1, 22, 116];
const O_APPEND = 0o2000;
let client: FuseClient;
const inRoot = (...names: string[]) => join(client.root, ...names);

beforeEach(() => {
  client = new FuseClient();
});
afterEach(() => client[Symbol.dispose]());

test("the start agrees on a protocol, and asks for no locks of its own", async () => {
  const { errno, body } = await client.request(Opcode.init, 0, u32(7, 37, 1 << 20, 0xffffffff));
  expect([errno, body.readUInt32LE(0), body.readUInt32LE(4), body.length]).toEqual([0, 7, 31, 64]);
  const flags = body.readUInt32LE(12);
  expect(flags & ((1 << 1) | (1 << 10) | (1 << 16))).toBe(0);
  expect(body.readUInt32LE(20)).toBe(131_072);
  expect((await client.request(Opcode.init, 0, u32(6, 0, 0, 0))).errno).toBe(71);
});

test("a file is found, read, written and found again", async () => {
  writeFileSync(inRoot("file"), "hello");
  const node = await client.find("file");
  const handle = await client.open(node, 2);
  expect(await client.read(handle)).toBe("hello");
  expect(await client.read(handle, 3)).toBe("lo");
  const { errno, body } = await client.request(Opcode.write, node, writeIn(handle, 5, Buffer.from(", world")));
  expect([errno, body.readUInt32LE(0)]).toEqual([0, 7]);
  expect(readFileSync(inRoot("file"), "utf8")).toBe("hello, world");
  expect((await client.request(Opcode.release, node, u64(handle, 0, 0))).errno).toBe(0);
  expect((await client.request(Opcode.read, node, readIn(handle, 0, 1))).errno).toBe(EBADF);
  expect(await client.find("file")).toBe(node);
});

test("large reads and writes are whole", async () => {
  const content = Buffer.alloc(131_072, "large ");
  const { body } = await client.request(Opcode.create, 1, createIn("large"));
  const handle = body.readBigUInt64LE(128);
  expect((await client.request(Opcode.write, 1, writeIn(handle, 0, content))).body.readUInt32LE(0)).toBe(131_072);
  const read = await client.request(Opcode.read, 1, readIn(handle, 0, 131_072));
  expect(read.body.equals(content)).toBe(true);
});

test("attributes are the host's, but the owner is the guest's, and no one's rights are taken on", async () => {
  writeFileSync(inRoot("file"), "12345", { mode: 0o640 });
  chmodSync(inRoot("file"), 0o4755);
  utimesSync(inRoot("file"), 100, new Date(-1500));
  const { body } = await client.request(Opcode.getattr, await client.find("file"), u32(0, 0, 0, 0));
  expect(body.readBigUInt64LE(16 + 8)).toBe(5n);
  expect(body.readBigInt64LE(16 + 24)).toBe(100n);
  expect([body.readBigInt64LE(16 + 32), body.readUInt32LE(16 + 52)]).toEqual([-2n, 500_000_000]);
  expect(body.readUInt32LE(16 + 60)).toBe(0o100755);
  expect([body.readUInt32LE(16 + 68), body.readUInt32LE(16 + 72)]).toEqual([7, 8]);
});

/** `struct fuse_setattr_in` */
function setattr(valid: number, values: { size?: number; mode?: number; uid?: number; mtime?: number } = {}): Buffer {
  const body = Buffer.alloc(88);
  body.writeUInt32LE(valid, 0);
  body.writeBigUInt64LE(BigInt(values.size ?? 0), 16);
  body.writeBigInt64LE(BigInt(values.mtime ?? 0), 40);
  body.writeUInt32LE(values.mode ?? 0, 68);
  body.writeUInt32LE(values.uid ?? 0, 76);
  return body;
}

test("size, mode and times can be set, the owner only to the one that it is", async () => {
  writeFileSync(inRoot("file"), "12345");
  const node = await client.find("file");
  expect((await client.request(Opcode.setattr, node, setattr(8, { size: 2 }))).errno).toBe(0);
  expect((await client.request(Opcode.setattr, node, setattr(1, { mode: 0o106711 }))).errno).toBe(0);
  expect((await client.request(Opcode.setattr, node, setattr(32, { mtime: 1234 }))).errno).toBe(0);
  expect(statSync(inRoot("file"))).toMatchObject({ size: 2, mode: 0o100711, mtimeMs: 1_234_000 });
  expect((await client.request(Opcode.setattr, node, setattr(2, { uid: 7 }))).errno).toBe(0);
  expect((await client.request(Opcode.setattr, node, setattr(2, { uid: 0 }))).errno).toBe(EPERM);
});

test("folders and names are made, moved and removed", async () => {
  const made = await client.request(Opcode.mkdir, 1, Buffer.concat([u32(0o775, 0), text("folder")]));
  expect(made.errno).toBe(0);
  expect(statSync(inRoot("folder")).mode & 0o7777).toBe(0o775);
  const folder = Number(made.body.readBigUInt64LE(0));
  expect((await client.request(Opcode.create, folder, createIn("a"))).errno).toBe(0);
  expect((await client.request(Opcode.rename, folder, Buffer.concat([u64(1), text("a", "b")]))).errno).toBe(0);
  expect(readdirSync(client.root).sort()).toEqual(["b", "folder"]);
  const noReplace = Buffer.concat([u64(1), u32(1, 0), text("b", "folder")]);
  expect((await client.request(Opcode.rename2, 1, noReplace)).errno).toBe(EEXIST);
  expect((await client.request(Opcode.rmdir, 1, text("folder"))).errno).toBe(0);
  expect((await client.request(Opcode.unlink, 1, text("b"))).errno).toBe(0);
  expect((await client.request(Opcode.unlink, 1, text("b"))).errno).toBe(ENOENT);
});

test("a moved folder keeps its number, and what is in it can be reached", async () => {
  mkdirSync(inRoot("one"));
  writeFileSync(inRoot("one", "file"), "x");
  const [folder, file] = [await client.find("one"), await client.find("one/file")];
  expect((await client.request(Opcode.rename, 1, Buffer.concat([u64(1), text("one", "two")]))).errno).toBe(0);
  expect(await client.find("two")).toBe(folder);
  expect(await client.read(await client.open(file))).toBe("x");
});

test("hard links are one file by two names", async () => {
  writeFileSync(inRoot("a"), "x");
  const node = await client.find("a");
  const { body } = await client.request(Opcode.link, 1, Buffer.concat([u64(node), text("b")]));
  expect([Number(body.readBigUInt64LE(0)), body.readUInt32LE(40 + 64)]).toEqual([node, 2]);
  unlinkSync(inRoot("a"));
  expect(await client.find("b")).toBe(node);
  expect(await client.read(await client.open(node))).toBe("x");
});

test("symbolic links are kept as they are, wherever they point", async () => {
  const made = await client.request(Opcode.symlink, 1, text("link", "../beside/x"));
  expect(made.errno).toBe(0);
  const node = Number(made.body.readBigUInt64LE(0));
  expect((await client.request(Opcode.readlink, node)).body.toString()).toBe("../beside/x");
  expect(lstatSync(inRoot("link")).isSymbolicLink()).toBe(true);
});

test("a file that is gone can be used for as long as it is open", async () => {
  writeFileSync(inRoot("file"), "still");
  const node = await client.find("file");
  const handle = await client.open(node, 2);
  expect((await client.request(Opcode.unlink, 1, text("file"))).errno).toBe(0);
  expect((await client.request(Opcode.getattr, node, u32(0, 0, 0, 0))).errno).toBe(0);
  expect(await client.read(handle)).toBe("still");
  await client.request(Opcode.release, node, u64(handle, 0, 0));
  expect((await client.request(Opcode.getattr, node, u32(0, 0, 0, 0))).errno).toBe(ESTALE);
});

test("a file that the host has replaced is another file", async () => {
  writeFileSync(inRoot("file"), "old");
  const node = await client.find("file");
  const handle = await client.open(node);
  writeFileSync(inRoot("new"), "new");
  renameSync(inRoot("new"), inRoot("file"));
  expect(await client.read(handle)).toBe("old");
  await expect(client.open(node)).rejects.toThrow(String(ESTALE));
  const fresh = await client.find("file");
  expect(fresh).not.toBe(node);
  expect(await client.read(await client.open(fresh))).toBe("new");
});

test("appending goes to where the file ends by now", async () => {
  writeFileSync(inRoot("log"), "one\n");
  const node = await client.find("log");
  const handle = await client.open(node, 1 | O_APPEND);
  writeFileSync(inRoot("log"), "two\n", { flag: "a" });
  await client.request(Opcode.write, node, writeIn(handle, 4, Buffer.from("three\n"), 1 | O_APPEND));
  expect(readFileSync(inRoot("log"), "utf8")).toBe("one\ntwo\nthree\n");
});

test("files opened to read only are not written to", async () => {
  writeFileSync(inRoot("file"), "x");
  const node = await client.find("file");
  const handle = await client.open(node, 0);
  expect((await client.request(Opcode.write, node, writeIn(handle, 0, Buffer.from("y")))).errno).toBe(EBADF);
});

async function names(opcode: number, extra: number, size: number): Promise<string[]> {
  const handle = (await client.request(Opcode.opendir, 1, u32(0, 0))).body.readBigUInt64LE(0);
  const found: string[] = [];
  for (let offset = 0n; ; ) {
    const { body } = await client.request(opcode, 1, readIn(handle, offset, size));
    if (body.length === 0) break;
    for (let at = 0; at < body.length; ) {
      const length = body.readUInt32LE(at + extra + 16);
      found.push(body.toString("utf8", at + extra + 24, at + extra + 24 + length));
      offset = body.readBigUInt64LE(at + extra + 8);
      at += (extra + 24 + length + 7) & ~7;
    }
  }
  await client.request(Opcode.releasedir, 1, u64(handle, 0, 0));
  return found.sort();
}

describe("a folder of many files", () => {
  const all = Array.from({ length: 300 }, (_, index) => `file-${index}`);
  beforeEach(() => {
    for (const name of all) writeFileSync(inRoot(name), name);
  });

  test("is listed whole in small pieces, with and without attributes", async () => {
    const expected = [".", "..", ...all].sort();
    expect(await names(Opcode.readdir, 0, 512)).toEqual(expected);
    expect(await names(Opcode.readdirplus, 128, 4096)).toEqual(expected);
    expect(client.server.counts.nodes).toBe(301);
  });

  test("can be read again from any entry on", async () => {
    const handle = (await client.request(Opcode.opendir, 1, u32(0, 0))).body.readBigUInt64LE(0);
    const at = async (offset: number) => {
      const { body } = await client.request(Opcode.readdir, 1, readIn(handle, offset, 64));
      return body.toString("utf8", 24, 24 + body.readUInt32LE(16));
    };
    const [tenth, twentieth] = [await at(10), await at(20)];
    expect([await at(10), await at(20), await at(0)]).toEqual([tenth, twentieth, "."]);
  });
});

test("names that are not UTF-8 survive", async () => {
  const name = Buffer.from([0x66, 0xff, 0xfe, 0x80]);
  const body = Buffer.concat([u32(2, 0o100644, 0, 0), name, Buffer.from([0])]);
  expect((await client.request(Opcode.create, 1, body)).errno).toBe(0);
  expect(readdirSync(client.root, { encoding: "buffer" })).toEqual([name]);
  expect((await client.request(Opcode.lookup, 1, text(name))).body.readBigUInt64LE(0)).not.toBe(0n);
});

test("a folder that is read-only is never changed", async () => {
  using fixed = new FuseClient({ readOnly: true });
  writeFileSync(join(fixed.root, "file"), "x");
  mkdirSync(join(fixed.root, "folder"));
  const node = await fixed.find("file");
  await expect(fixed.open(node, 2)).rejects.toThrow(String(EROFS));
  await expect(fixed.open(node, 0o1000)).rejects.toThrow(String(EROFS));
  const tries: [number, number, Buffer][] = [
    [Opcode.create, 1, createIn("new")],
    [Opcode.mknod, 1, Buffer.concat([u32(0o100644, 0, 0, 0), text("new")])],
    [Opcode.mkdir, 1, Buffer.concat([u32(0o755, 0), text("new")])],
    [Opcode.unlink, 1, text("file")],
    [Opcode.rmdir, 1, text("folder")],
    [Opcode.rename, 1, Buffer.concat([u64(1), text("file", "new")])],
    [Opcode.rename2, 1, Buffer.concat([u64(1), u32(0, 0), text("file", "new")])],
    [Opcode.link, 1, Buffer.concat([u64(node), text("new")])],
    [Opcode.symlink, 1, text("new", "target")],
    [Opcode.setattr, node, setattr(1, { mode: 0o777 })],
    [Opcode.setattr, node, setattr(8, { size: 0 })],
  ];
  for (const [opcode, target, body] of tries) expect((await fixed.request(opcode, target, body)).errno).toBe(EROFS);
  const handle = await fixed.open(node);
  expect((await fixed.request(Opcode.write, node, writeIn(handle, 0, Buffer.from("y")))).errno).toBe(EBADF);
  expect(readdirSync(fixed.root).sort()).toEqual(["file", "folder"]);
});

test("what is not served is said to be unknown, so that the kernel does it itself", async () => {
  for (const opcode of [22, 25, 31, 43, 46, 47, 9999])
    expect((await client.request(opcode, 1, Buffer.alloc(64))).errno).toBe(ENOSYS);
  expect((await client.request(Opcode.rename2, 1, Buffer.concat([u64(1), u32(2, 0), text("a", "b")]))).errno).toBe(
    EINVAL,
  );
});
