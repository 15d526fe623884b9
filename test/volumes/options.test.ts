import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { checkVolumes, parseVolume } from "../../src/volumes/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";

test.each([
  ["data:/var/lib", { name: "data", guest: "/var/lib" }],
  ["data:/var/lib:ro", { name: "data", guest: "/var/lib", readOnly: true }],
  ["/no/such/file.img:/d:rw", { file: "/no/such/file.img", guest: "/d", readOnly: false }],
  ["./file.img:/d", { file: "./file.img", guest: "/d" }],
])("%s is a volume", (text, expected) => {
  expect(parseVolume(text)).toEqual(expected);
});

test("a folder is none", () => {
  using folder = temporaryFolder();
  mkdirSync(join(folder.path, "there"));
  expect(parseVolume(`${folder.path}/there:/d`)).toBeUndefined();
  expect(parseVolume(".:/d")).toBeUndefined();
});

test.each(["", "data", "data:", ":/d", "data:d", "data:/d:z", "-data:/d", "da ta:/d", "a.lock:/d"])(
  "%j is refused",
  (text) => {
    expect(() => parseVolume(text)).toThrow(UsageError);
  },
);

test("options are completed", () => {
  expect(
    checkVolumes([
      { name: "a", guest: "/a/" },
      { file: "b.img", guest: "/b", sizeMiB: 64, readOnly: true },
    ]),
  ).toEqual([
    { label: "a", name: "a", file: undefined, guest: "/a", readOnly: false, sizeMiB: undefined },
    { label: resolve("b.img"), name: undefined, file: resolve("b.img"), guest: "/b", readOnly: true, sizeMiB: 64 },
  ]);
});

test.each([
  [{ guest: "/a" }, /either a name or a file/],
  [{ name: "a", file: "b", guest: "/a" }, /either a name or a file/],
  [{ name: "../a", guest: "/a" }, /cannot be a volume's name/],
  [{ file: "", guest: "/a" }, /no path/],
  [{ name: "a", guest: "a" }, /no place/],
  [{ name: "a", guest: "/" }, /no place/],
  [{ name: "a", guest: "/a", sizeMiB: 1 }, /whole number from 16/],
  [{ name: "a", guest: "/a", sizeMiB: 20.5 }, /whole number from 16/],
])("%j is refused", (volume, reason) => {
  expect(() => checkVolumes([volume])).toThrow(UsageError);
  expect(() => checkVolumes([volume])).toThrow(reason);
});

test("two at one place, or one twice, are refused", () => {
  expect(() =>
    checkVolumes([
      { name: "a", guest: "/a" },
      { name: "b", guest: "/a" },
    ]),
  ).toThrow(/same place/);
  expect(() =>
    checkVolumes([
      { name: "a", guest: "/a" },
      { name: "a", guest: "/b" },
    ]),
  ).toThrow(/named twice/);
});
