import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { checkMounts, parseMount } from "../../src/mounts/index.js";
import { limitsFor } from "../../src/mounts/limits.js";
import { temporaryFolder } from "../support/layer-fixture.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  mkdirSync(join(folder.path, "there"));
  writeFileSync(join(folder.path, "file"), "");
});
afterEach(() => folder[Symbol.dispose]());

test.each([
  ["/a:/b", { host: "/a", guest: "/b" }],
  ["./a:/b:ro", { host: "./a", guest: "/b", readOnly: true }],
  ["a:/b:rw:follow", { host: "a", guest: "/b", readOnly: false, symlinks: "follow" }],
  ["a:/b:ro,deny", { host: "a", guest: "/b", readOnly: true, symlinks: "deny" }],
])("%s is understood", (text, expected) => {
  expect(parseMount(text)).toEqual(expected);
});

test.each(["", "/a", "/a:", ":/b", "/a:b", "/a:/b:z", "/a:/b:", "/a:/b:ro:nope"])("%j is refused", (text) => {
  expect(() => parseMount(text)).toThrow(UsageError);
});

test("defaults are filled in, and what is within another comes after it", () => {
  const host = join(folder.path, "there");
  const checked = checkMounts(
    [
      { host, guest: "/a/b/" },
      { host, guest: "/a", symlinks: "deny", owner: "me" },
    ],
    "app",
  );
  expect(checked).toEqual([
    { host, guest: "/a", readOnly: false, symlinks: "deny", owner: "me" },
    { host, guest: "/a/b", readOnly: false, symlinks: "opaque", owner: "app" },
  ]);
});

test.each([
  [{ host: "missing", guest: "/a" }, /no such folder/],
  [{ host: "file", guest: "/a" }, /no folder/],
  [{ host: "there", guest: "a" }, /absolute path/],
  [{ host: "there", guest: "/a/.." }, /absolute path/],
  [{ host: "there", guest: "/a\0" }, /absolute path/],
  [{ host: "", guest: "/a" }, /no path/],
  [{ host: "there", guest: "/a", symlinks: "nope" as "deny" }, /symlinks is nope/],
])("%j is refused", (mount, reason) => {
  const host = mount.host === "" ? "" : join(folder.path, mount.host);
  expect(() => checkMounts([{ ...mount, host }], "")).toThrow(UsageError);
  expect(() => checkMounts([{ ...mount, host }], "")).toThrow(reason);
});

test("two folders at one place are refused", () => {
  const host = join(folder.path, "there");
  expect(() =>
    checkMounts(
      [
        { host, guest: "/a" },
        { host, guest: "/a/" },
      ],
      "",
    ),
  ).toThrow(/the same place/);
});

test("a mount leaves most descriptors to others", () => {
  const { nodes, handles, folders } = limitsFor(256);
  expect(nodes).toBe(262_144);
  expect(handles).toBeGreaterThan(16);
  expect(handles).toBeLessThanOrEqual(4096);
  expect(folders).toBeLessThanOrEqual(256);
});
