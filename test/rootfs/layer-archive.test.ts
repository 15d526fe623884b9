import { mkdtempSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import {
  ErofsReader,
  LayerStack,
  LayerStore,
  layerArchive,
  type StackNode,
  writeArchiveImage,
} from "../../src/rootfs/index.js";
import { readErofs } from "../support/erofs-reader.js";
import { TarBuilder } from "../support/tar-builder.js";

const folder = mkdtempSync(join(tmpdir(), "supermachine-archive-"));
const store = new LayerStore(folder);
afterAll(() => rmSync(folder, { recursive: true }));

const ALL_KINDS = new TarBuilder()
  .directory("./", { mode: 0o711 })
  .directory("d/", { mode: 0o1777, uid: 5, gid: 2_097_152 + 6, base256: true })
  .pax({ "SCHILY.xattr.user.note": "text", "SCHILY.xattr.security.capability": Buffer.from([1, 0, 255]) })
  .file("d/file", "content".repeat(2_000), { mode: 0o4755, mtime: 1_700_000_000 })
  .hardLink("d/again", "d/file")
  .hardLink("a-first-name", "d/file")
  .file("d/empty")
  .file("holes", Buffer.concat([Buffer.from("x"), Buffer.alloc(300_000), Buffer.from("y")]))
  .symlink("link", "d/file")
  .pax({ path: `long/${"n".repeat(200)}`, linkpath: "t".repeat(300) })
  .symlink("short", "short")
  .add({ name: "device", type: "3", major: 7, minor: 300, mode: 0o600 })
  .add({ name: "block", type: "4", major: 8, minor: 1 })
  .add({ name: "fifo", type: "6", mode: 0o640 })
  .file("d/.wh.gone")
  .directory("hidden/")
  .file("hidden/.wh..wh..opq")
  .finish();

async function* once(bytes: Buffer) {
  yield bytes;
}

async function archiveOf(path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of layerArchive(path)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("a layer's archive makes the same layer again, and only one of them is kept", async () => {
  const first = await store.add(once(ALL_KINDS));
  const archive = await archiveOf(first.path);
  const again = await new LayerStore(join(folder, "other")).add(once(archive));
  expect(again.diffId).toBe(first.diffId);
  expect((await archiveOf(again.path)).equals(archive)).toBe(true);
  expect(readErofs(again.path)).toEqual(readErofs(first.path));
  await store.add(once(archive));
  expect(await readdir(folder)).toHaveLength(2);
});

test("an archive that is damaged leaves nothing behind", async () => {
  const before = await readdir(folder);
  await expect(store.add(once(ALL_KINDS.subarray(0, 5000)))).rejects.toThrow("truncated");
  expect(await readdir(folder)).toEqual(before);
});

test("in an archive that is no layer, names that begin with .wh. are names", async () => {
  const path = join(folder, "plain.erofs");
  const names = [".wh..wh..opq", ".wh..wh.orph", ".wh.gone"];
  const archive = names.reduce((tar, name) => tar.file(`d/${name}`, "kept"), new TarBuilder().directory("d/")).finish();
  await writeArchiveImage(once(archive), path);
  const found = readErofs(path);
  rmSync(path);
  expect(Object.keys(found)).toEqual([".", "d", ...names.map((name) => `d/${name}`)]);
});

test("a stack shows what the overlay would", async () => {
  const lower = new TarBuilder()
    .directory("a/", { mode: 0o700 })
    .file("a/one", "1")
    .file("a/two", "2")
    .file("b", "b")
    .directory("c/")
    .file("c/old", "old")
    .file("d", "file");
  const upper = new TarBuilder()
    .directory("a/", { mode: 0o755 })
    .file("a/.wh.one", "")
    .file("a/three", "3")
    .file(".wh.b", "")
    .directory("c/")
    .file("c/.wh..wh..opq", "")
    .file("c/new", "new")
    .directory("d/")
    .file("d/x", "x");
  const layers = [await store.add(once(lower.finish())), await store.add(once(upper.finish()))];
  using stack = new LayerStack(layers.map(({ path }) => path));
  const list = (node: StackNode | undefined, prefix = ""): string[] =>
    node === undefined
      ? []
      : stack.names(node).flatMap((name) => {
          const child = stack.child(node, name);
          return [prefix + name, ...(child?.inode.type === "directory" ? list(child, `${prefix}${name}/`) : [])];
        });
  expect(list(stack.root)).toEqual(["a", "a/three", "a/two", "c", "c/new", "d", "d/x"]);
  const a = stack.root && stack.child(stack.root, "a");
  expect(a?.inode.attributes.mode).toBe(0o755);
  expect(stack.root && stack.child(stack.root, "b")).toBeUndefined();
});

test("what is no layer's image is refused", () => {
  expect(() => new ErofsReader(import.meta.filename)).toThrow("is damaged");
});
