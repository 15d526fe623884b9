import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import type { Attributes, Leaf } from "../../src/rootfs/erofs/index.js";
import { convertLayer } from "../../src/rootfs/index.js";
import { LayerTree } from "../../src/rootfs/layer/tree.js";
import { readErofs } from "../support/erofs-reader.js";
import { fsck, inPieces, sha256, temporaryFolder } from "../support/layer-fixture.js";
import { randomFrom } from "../support/random.js";
import { pad, TarBuilder, tarHeader } from "../support/tar-builder.js";

const ATTRIBUTES: Attributes = { mode: 0, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0, xattrs: undefined };

/** Converts; either the image is sound, or the failure is an ImageError and nothing is left. */
async function convertsOrRefuses(archive: Buffer): Promise<"converted" | "refused"> {
  using folder = temporaryFolder();
  const output = join(folder.path, "image");
  const options = { blobDigest: sha256(archive), diffId: sha256(archive), output };
  const failure = await convertLayer(inPieces(archive), options).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure !== undefined) {
    expect(failure).toBeInstanceOf(ImageError);
    return "refused";
  }
  fsck(output);
  readErofs(output);
  return "converted";
}

describe("a damaged archive", () => {
  const archive = new TarBuilder()
    .pax({
      path: "dir/long name",
      mtime: "1.5",
      "SCHILY.xattr.user.a": "value",
      "GNU.sparse.size": "90000",
      "GNU.sparse.map": "0,3,80000,2",
    })
    .file("x", "abcde")
    .gnuLong("L", "g".repeat(300))
    .file("x", Buffer.alloc(5000, "content"))
    .symlink("link", "dir")
    .file("link/through", "x")
    .hardLink("hard", "link/through")
    .add({ name: "dev", type: "3", major: 1, minor: 3 })
    .directory("dir/")
    .file("dir/.wh.gone")
    .file(".wh..wh..opq")
    .finish();

  it("gives a sound image or an ImageError, whichever bytes are changed", async () => {
    const random = randomFrom(3);
    const outcomes = new Set<string>();
    for (let i = 0; i < 150; i++) {
      const changed = Buffer.from(archive);
      for (let n = 1 + random.below(3); n > 0; n--) {
        const header = 512 * random.below(archive.length / 512);
        changed[header + random.below(512)] = random.below(256);
        if (random.below(4) > 0) repairChecksum(changed, header);
      }
      outcomes.add(await convertsOrRefuses(changed));
    }
    expect([...outcomes].sort()).toEqual(["converted", "refused"]);
  });

  it("gives a sound image or an ImageError, wherever it is cut or joined", async () => {
    const random = randomFrom(4);
    for (let i = 0; i < 60; i++) {
      const [a, b] = [random.below(archive.length), random.below(archive.length)];
      const joined = Buffer.concat([archive.subarray(0, a - (a % 512)), archive.subarray(b - (b % 512))]);
      await convertsOrRefuses(i % 2 === 0 ? joined : archive.subarray(0, a));
    }
  });

  it("of random bytes is refused", async () => {
    const random = randomFrom(5);
    for (let i = 0; i < 20; i++)
      expect(await convertsOrRefuses(random.bytes(512 + random.below(5000)))).toBe("refused");
  });
});

describe("what a layer makes this process keep in memory", () => {
  const tree = (nodes: number, bytes: number) => new LayerTree(() => undefined, { nodes, bytes });
  const leaf: Leaf = { type: "symlink", nid: 1, links: 1, target: "t".repeat(100) };
  const put = (to: LayerTree, path: string, node: Leaf = { type: "file", nid: 1, links: 1 }) => {
    const place = to.locate(path);
    if (place) to.putLeaf(place, node);
  };

  it("is bounded in its number of names, those that no entry describes too", () => {
    const limited = tree(5, 1000);
    put(limited, "a/b/c/d");
    put(limited, "e");
    expect(() => put(limited, "f")).toThrow("more than 5 entries");
    expect(() => put(tree(5, 1000), "1/2/3/4/5/6")).toThrow("more than 5 entries");
  });

  it("is bounded in the bytes of its names, link targets and attributes", () => {
    expect(() => put(tree(5, 1000), "n".repeat(200).replaceAll("nnnn", "nnn/"))).toThrow("more than 5 entries");
    const limited = tree(100, 250);
    put(limited, "a", leaf);
    put(limited, "b", leaf);
    expect(() => put(limited, "c", leaf)).toThrow("more than 250 bytes of names and attributes");
    const xattrs = new Map([["user.a", Buffer.alloc(300)]]);
    const other = tree(100, 250);
    expect(() => other.putDirectory(other.locate("d"), { ...ATTRIBUTES, xattrs })).toThrow("more than 250 bytes");
  });

  it("counts whiteouts", () => {
    const limited = tree(3, 1000);
    for (const name of ["a", "a", "b", "c"]) limited.whiteOut(limited.root, name);
    expect(() => limited.whiteOut(limited.root, "d")).toThrow("more than 3 entries");
  });
});

describe("sizes that are claimed", () => {
  it("cost nothing until the bytes come", async () => {
    using folder = temporaryFolder();
    const archive = Buffer.concat([
      tarHeader({ name: "huge", size: 2 ** 40, base256: true, patch: (b) => void b.write("0000644\0", 100) }),
      pad(Buffer.from("x")),
    ]);
    const output = join(folder.path, "image");
    const options = { blobDigest: sha256(archive), diffId: sha256(archive), output };
    await expect(convertLayer(inPieces(archive), options)).rejects.toThrow("truncated");
  });

  it("of more than 8 TiB are refused", async () => {
    const builder = new TarBuilder()
      .pax({ "GNU.sparse.size": String(2 ** 43 + 1), "GNU.sparse.map": "", "GNU.sparse.numblocks": "0" })
      .file("f");
    expect(await convertsOrRefuses(builder.finish())).toBe("refused");
  });

  it("of many huge holes cost little disk", async () => {
    using folder = temporaryFolder();
    const builder = new TarBuilder();
    for (let i = 0; i < 20; i++) {
      builder
        .pax({ "GNU.sparse.size": String(2 ** 43), "GNU.sparse.map": "0,1", "GNU.sparse.numblocks": "1" })
        .file(`f${i}`, "x");
    }
    const archive = builder.finish();
    const output = join(folder.path, "image");
    await convertLayer(inPieces(archive), { blobDigest: sha256(archive), diffId: sha256(archive), output });
    expect(statSync(output).blocks * 512).toBeLessThan(20 * 2 ** 20);
  });
});

function repairChecksum(archive: Buffer, header: number): void {
  const block = archive.subarray(header, header + 512);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8, "latin1");
}
