import { appendFileSync, mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CacheInvalidError, Image, ImageNotFoundError, verifyBundle } from "../../../src/index.js";
import { temporaryFolder } from "../../support/layer-fixture.js";
import { metadata } from "../metadata-fixture.js";
import { bundleFiles, bundleList, writeBundle } from "./bundle-fixture.js";

let outer: ReturnType<typeof temporaryFolder>;
let folder: string;
const at = (path: string) => join(folder, path);

beforeEach(() => {
  outer = temporaryFolder();
  folder = join(outer.path, "bundle");
  // What is checked before anything is started needs no QEMU.
  vi.stubEnv("SUPERMACHINE_QEMU", "/missing/qemu");
  vi.stubEnv("SUPERMACHINE_HOME", join(outer.path, "home"));
});

afterEach(() => {
  vi.unstubAllEnvs();
  outer[Symbol.dispose]();
});

/** The same text with one bit changed. */
function flipped(text: string): string {
  return String.fromCharCode(text.charCodeAt(0) ^ 1) + text.slice(1);
}

describe("a bundle that is whole", () => {
  test("gets as far as QEMU", async () => {
    writeBundle(folder);
    await expect(Image.fromSnapshot(folder)).rejects.toThrow("/missing/qemu");
  });

  test("has no problems", async () => {
    writeBundle(folder);
    expect(await verifyBundle(folder)).toMatchObject({ path: folder, problems: [], checked: { files: 8 } });
  });

  test("of another architecture says so", async () => {
    const files = bundleFiles();
    writeBundle(folder, files, { ...bundleList(files), architecture: process.arch === "x64" ? "arm64" : "x64" });
    await expect(Image.fromSnapshot(folder)).rejects.toThrow(/this guest is for/);
  });
});

test("a folder without a bundle is not verified", async () => {
  await expect(verifyBundle(outer.path)).rejects.toThrow(ImageNotFoundError);
});

const DAMAGES: [string, () => void, RegExp][] = [
  ["a file is missing", () => rmSync(at("layers/0.erofs")), /layers\/0.erofs is missing/],
  ["a folder is missing", () => rmSync(at("template"), { recursive: true }), /template\/ram.img is missing/],
  ["the RAM is truncated", () => truncateSync(at("template/ram.img"), 1), /has 1 bytes instead of 3/],
  ["a layer has grown", () => appendFileSync(at("layers/0.erofs"), "x"), /has 6 bytes instead of 5/],
  ["the delta was changed", () => writeFileSync(at("memory.delta"), "dElta"), /memory.delta has another content/],
  [
    "the metadata was changed",
    () => writeFileSync(at("metadata.json"), flipped(bundleFiles()["metadata.json"] ?? "")),
    /metadata.json has another content/,
  ],
  ["the metadata is missing", () => rmSync(at("metadata.json")), /metadata.json is missing/],
  [
    "a folder is in a file's place",
    () => {
      rmSync(at("kernel/vmlinuz"));
      mkdirSync(at("kernel/vmlinuz"));
    },
    /vmlinuz is not a file/,
  ],
  [
    "a file is a link out of the folder",
    () => {
      renameSync(at("layers/0.erofs"), join(outer.path, "elsewhere"));
      symlinkSync(join(outer.path, "elsewhere"), at("layers/0.erofs"));
    },
    /0.erofs is a link to somewhere else/,
  ],
  [
    "a folder is a link out of the folder",
    () => {
      renameSync(at("layers"), join(outer.path, "elsewhere"));
      symlinkSync(join(outer.path, "elsewhere"), at("layers"));
    },
    /0.erofs is a link to somewhere else/,
  ],
  ["its list is missing", () => rmSync(at("bundle.json")), /bundle.json is missing/],
  ["its list is cut short", () => truncateSync(at("bundle.json"), 100), /bundle.json is damaged/],
  [
    "its list is of another version",
    () => writeBundle(folder, bundleFiles(), { schema: 2 }),
    /damaged or of another version/,
  ],
  [
    "its list leads out of the folder",
    () => lie({ path: "../outside", bytes: 1, digest: digestOfNothing }),
    /damaged or of another version/,
  ],
  [
    "its list is longer than any",
    () =>
      writeBundle(folder, bundleFiles(), {
        ...bundleList(bundleFiles()),
        files: Array(1_001).fill({ path: "x", bytes: 0, digest: digestOfNothing }),
      }),
    /damaged or of another version/,
  ],
  ["a layer is not listed", () => relist({ path: "layers/1.erofs" }), /layers\/1.erofs is not listed/],
  ["a layer is outside", () => relist({ path: "../../secret" }), /secret is not listed/],
  ["a layer is a file of this host", () => relist({ path: "/etc/hostname" }), /hostname is not listed/],
];
const digestOfNothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Lists a file more. */
function lie(file: object): void {
  const list = bundleList(bundleFiles()) as { files: object[] };
  writeBundle(folder, bundleFiles(), { ...list, files: [...list.files, file] });
}

/** Has the snapshot use another layer, with a list that fits. */
function relist({ path }: { path: string }): void {
  const layers = [{ lun: 1, path, diffId: "sha256:a" }];
  writeBundle(folder, { ...bundleFiles(), "metadata.json": JSON.stringify(metadata({ layers, bundled: true })) });
}

describe("a bundle is refused, with what to do, when", () => {
  test.each(DAMAGES)("%s", async (_, damage, message) => {
    writeBundle(folder);
    damage();
    const failure = await Image.fromSnapshot(folder).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(CacheInvalidError);
    expect(failure).toMatchObject({
      message: expect.stringMatching(message),
      hint: expect.stringContaining("Copy the whole folder again"),
    });
  });
});

test.each(Object.keys(bundleFiles()))("verification finds one changed bit in %s", async (path) => {
  writeBundle(folder);
  writeFileSync(at(path), flipped(bundleFiles()[path] ?? ""));
  const { problems } = await verifyBundle(folder);
  expect(problems).toEqual([{ path, problem: "has another content than was written" }]);
});
