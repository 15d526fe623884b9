import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { StepCache, stepKey } from "../../src/build/cache.js";
import { filesKey, type ImageState, imageDocument, withConfig, withLayer } from "../../src/build/image-state.js";
import { FileDigests } from "../../src/build/tree/index.js";
import { LayerStore } from "../../src/rootfs/index.js";
import { folderOfFile } from "../support/folder-of-file.js";
import { TarBuilder } from "../support/tar-builder.js";

const folder = folderOfFile();
const layers = new LayerStore(join(folder, "layers"));
const cache = new StepCache(layers, [], join(folder, "builds"));
const createdAt = "2026-01-02T03:04:05.000Z";

async function newLayer(content: string) {
  async function* archive() {
    yield new TarBuilder().file("file", content).finish();
  }
  return layers.add(archive());
}

test("a step is found as long as its layer is there and its entry is intact", async () => {
  const layer = await newLayer("1");
  const key = stepKey(["run", "x"]);
  expect(await cache.find(key)).toBeUndefined();
  await cache.keep(key, { layer, createdAt });
  expect(await cache.find(key)).toMatchObject({ layer: { diffId: layer.diffId, path: layer.path }, createdAt });
  await rm(layer.path);
  expect(await cache.find(key)).toBeUndefined();
  await cache.keep(key, { layer: undefined, createdAt });
  expect(await cache.find(key)).toEqual({ layer: undefined, createdAt });
  await writeFile(join(folder, "builds", "steps", `${key}.json`), "{");
  expect(await cache.find(key)).toBeUndefined();
});

test("keys differ where the parts do", () => {
  const keys = [
    ["run", "a", "b"],
    ["run", "ab"],
    ["run", ["a"], "b"],
    ["copy", "a", "b"],
  ].map(stepKey);
  expect(new Set(keys).size).toBe(4);
});

test("a file's digest is kept until its facts change, but not of a file that was just written", async () => {
  const path = join(folder, "file");
  await writeFile(path, "1");
  const stats = await stat(path);
  let reads = 0;
  async function* content() {
    reads++;
    yield Buffer.from("1");
  }
  const digests = new FileDigests();
  const settled = Object.assign(Object.create(stats), { ctimeMs: stats.ctimeMs - 60_000 });
  const first = await digests.of("f", settled, content);
  expect(await digests.of("f", settled, content)).toBe(first);
  expect(reads).toBe(1);
  const kept = new FileDigests(digests.changed());
  await kept.of("f", settled, content);
  expect(reads).toBe(1);
  await kept.of("f", Object.assign(Object.create(settled), { mtimeMs: 1 }), content);
  expect(reads).toBe(2);
  await digests.of("new", stats, content);
  await digests.of("new", stats, content);
  expect(reads).toBe(4);
});

test("an image is its layers and its configuration; both count for its id, in their order", async () => {
  const [one, two] = [await newLayer("one"), await newLayer("two")];
  const empty = {
    platform: { os: "linux", architecture: "amd64" },
    config: {},
    layers: [],
    history: [],
    createdAt: "2026-01-01T00:00:00.000Z",
  } as unknown as ImageState;
  const built = withLayer(withLayer(empty, { layer: one, createdAt }, "RUN one"), { layer: two, createdAt }, "RUN two");
  expect(built.layers.map(({ diffId }) => diffId)).toEqual([one.diffId, two.diffId]);
  expect(filesKey({ layers: [two, one] })).not.toBe(filesKey(built));
  const configured = withConfig(built, { ...built.config, User: "app" }, "USER app");
  const { document, digest } = imageDocument(configured);
  expect(digest).not.toBe(imageDocument(built).digest);
  expect(document).toMatchObject({
    created: createdAt,
    config: { User: "app" },
    rootfs: { type: "layers", diff_ids: [one.diffId, two.diffId] },
    history: [{ created_by: "RUN one" }, { created_by: "RUN two" }, { created_by: "USER app", empty_layer: true }],
  });
  const unchanged = withLayer(built, { layer: undefined, createdAt }, "RUN true");
  expect(unchanged.layers).toHaveLength(2);
  expect(unchanged.history.at(-1)).toMatchObject({ empty_layer: true });
});
