import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { Image } from "../../src/index.js";
import { openImage } from "../../src/oci/index.js";
import { everyKindTar } from "../support/every-kind-tar.js";
import { readFolder } from "../support/folder-listing.js";
import { debianPythonImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { writeLayout } from "../support/layout-builder.js";
import { differences, type Listing } from "../support/tree-listing.js";

const LISTER = join(import.meta.dirname, "../support/list-tree.py");

test("a layer with every kind of entry reads in the guest as GNU tar extracts it", async () => {
  using folder = temporaryFolder();
  const tar = everyKindTar({ huge: false });
  try {
    const expected = join(folder.path, "expected");
    execFileSync("mkdir", [expected]);
    execFileSync("tar", ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", tar, "-C", expected]);
    writeLayout(join(folder.path, "layout"), { layers: [await pythonLayer(), readFileSync(tar)] });
    const image = await Image.fromOci(`oci-layout:${join(folder.path, "layout")}`, {
      snapshotsDir: join(folder.path, "snapshots"),
    });
    await using vm = await image.start();
    await vm.writeFile("/tmp/list-tree.py", readFileSync(LISTER));
    const names = Object.keys(readFolder(expected)).filter((name) => name !== ".");
    await vm.writeFile("/tmp/names.json", JSON.stringify(names));
    const { stdout, stderr, exitCode } = await vm.run(["python3", "/tmp/list-tree.py", "/tmp/names.json"]);
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
    expect(differences(comparable(JSON.parse(stdout)), comparable(readFolder(expected)))).toEqual([]);
  } finally {
    rmSync(dirname(tar), { recursive: true });
  }
});

async function pythonLayer() {
  await using content = await openImage(`oci-archive:${(await debianPythonImage()).archive}`);
  const [layer] = content.layers;
  const chunks: Buffer[] = [];
  for await (const chunk of await layer!.open()) chunks.push(chunk as Buffer);
  return { bytes: Buffer.concat(chunks), mediaType: layer!.mediaType, diffId: layer!.diffId };
}

/** The root was changed by the bake, and overlayfs does not count the links of a folder. */
function comparable(listing: Listing): Listing {
  const entries = Object.entries(listing).filter(([path]) => path !== ".");
  return Object.fromEntries(
    entries.map(([path, node]) => [path, node.type === "directory" ? { ...node, nlink: 0, size: 0 } : node]),
  );
}
