import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CacheInvalidError, ImageNotFoundError } from "../../src/errors.js";
import { readMetadata, writeMetadata } from "../../src/image/metadata.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { metadata } from "./metadata-fixture.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder[Symbol.dispose]());
const file = () => join(folder.path, "metadata.json");

test("what was written is read again", async () => {
  await writeMetadata(folder.path, metadata());
  expect(await readMetadata(folder.path)).toEqual(metadata());
  expect(statSync(file()).mode & 0o777).toBe(0o600);
});

test("the file is JSON with the version of its schema", async () => {
  const { schema: _, ...without } = metadata();
  await writeMetadata(folder.path, without);
  expect(JSON.parse(readFileSync(file(), "utf8"))).toMatchObject({ schema: 1, name: "python" });
});

test("relative paths of layers start at the snapshot's folder", async () => {
  const layer = (path: string) => ({ lun: 1, path, diffId: "d" });
  writeFileSync(file(), JSON.stringify(metadata({ layers: [layer("layers/a"), layer("../b"), layer("/c")] })));
  const { layers } = await readMetadata(folder.path);
  expect(layers.map(({ path }) => path)).toEqual([join(folder.path, "layers/a"), join(folder.path, "../b"), "/c"]);
});

test("no snapshot is told from a damaged one", async () => {
  await expect(readMetadata(folder.path)).rejects.toThrow(ImageNotFoundError);
  await expect(readMetadata(join(folder.path, "missing"))).rejects.toThrow(/no snapshot in .*missing/);
  writeFileSync(join(folder.path, "a-file"), "");
  await expect(readMetadata(join(folder.path, "a-file"))).rejects.toThrow(ImageNotFoundError);
  mkdirSync(file());
  await expect(readMetadata(folder.path)).rejects.toMatchObject({ code: "EISDIR" });
});

describe("metadata is refused", () => {
  const template = metadata().template;
  test.each<[string, unknown]>([
    ["that is empty", ""],
    ["that is cut", '{"schema": 1'],
    ["that is no object", "[]"],
    ["of another schema", { ...metadata(), schema: 2 }],
    ["without a schema", { ...metadata(), schema: undefined }],
    ["without a name", { ...metadata(), name: undefined }],
    ["with a time that is none", metadata({ createdAt: "yesterday" })],
    ["with no memory", metadata({ template: { ...template, memoryMiB: 0 } })],
    ["with half a processor", metadata({ template: { ...template, vcpus: 1.5 } })],
    ["with an unknown accelerator", metadata({ template: { ...template, accelerator: "xen" as "tcg" } })],
    ["with arguments that are no texts", { ...metadata(), config: { ...metadata().config, cmd: [1] } }],
    ["with variables that are no texts", { ...metadata(), config: { ...metadata().config, env: { A: null } } }],
    ["with a LUN below 0", metadata({ layers: [{ lun: -1, path: "/a", diffId: "d" }] })],
    ["without a checksum of the state", { ...metadata(), deviceState: { bytes: 1 } }],
  ])("%s", async (_, content) => {
    writeFileSync(file(), typeof content === "string" ? content : JSON.stringify(content));
    const error = await readMetadata(folder.path).catch((each: unknown) => each);
    expect(error).toBeInstanceOf(CacheInvalidError);
    expect(error).toMatchObject({ message: expect.stringContaining(file()), hint: expect.stringContaining("rmi") });
  });
});
