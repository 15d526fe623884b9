import { afterAll, beforeAll, expect, test } from "vitest";
import { findPlace } from "../../../src/build/mounts/place.js";
import { LayerTree } from "../../../src/build/tree/index.js";
import { TarBuilder } from "../../support/tar-builder.js";
import { storeLayer } from "../build-fixture.js";

let image: LayerTree;
beforeAll(async () => {
  const tar = new TarBuilder().directory("run").directory("var").symlink("var/run", "/run").file("file", "x");
  image = new LayerTree("the image", [(await storeLayer(tar)).path]);
});
afterAll(() => image[Symbol.dispose]());

test.each([
  ["/run", "folder", "/run", []],
  ["/var/run/a/b", "folder", "/run/a/b", ["/run/a", "/run/a/b"]],
  ["/var/run/ä", "file", "/run/ä", ["/run/ä"]],
  ["/file", "file", "/file", []],
  ["/../x", "folder", "/x", ["/x"]],
] as const)("%s as a %s", async (target, what, path, missing) => {
  expect(await findPlace(image, target, what)).toEqual({ path, missing });
});

test.each([
  ["/file", "folder"],
  ["/run", "file"],
  ["/file/below", "folder"],
] as const)("%s is no place for a %s", async (target, what) => {
  await expect(findPlace(image, target, what)).rejects.toThrow("the image has something else there");
});

test("in nothing at all everything is missing", async () => {
  using empty = new LayerTree("nothing", []);
  expect(await findPlace(empty, "/a/b", "folder")).toEqual({ path: "/a/b", missing: ["/a", "/a/b"] });
});
