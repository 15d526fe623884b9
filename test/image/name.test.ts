import { basename, dirname } from "node:path";
import { expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { checkName, isName, namedFolder, nameOfFolder, shortName, snapshotFolder } from "../../src/image/name.js";
import { isEntry } from "../../src/store/index.js";

test.each(["a", "7", "python-0123456789ab", "Python_3.12", "a.b", "x".repeat(128), "a.locked", "partial", "lock"])(
  "%s is a plain name, and its folder is called so",
  (name) => {
    expect(checkName(name)).toBe(name);
    expect(basename(namedFolder(name, "/s"))).toBe(name);
  },
);

test.each([
  ["app:latest", "app"],
  ["docker.io/library/app", "app"],
  ["index.docker.io/library/app:latest", "app"],
  ["app:1.0", "app:1.0"],
  ["docker.io/library/app:1.0", "app:1.0"],
  ["team/app", "team/app"],
  ["docker.io/team/app:latest", "team/app"],
  ["registry.example/team/app:latest", "registry.example/team/app"],
  ["localhost:5000/app:dev", "localhost:5000/app:dev"],
  ["localhost/app", "localhost/app"],
  ["docker.io/localhost/app", "docker.io/localhost/app:latest"],
  ["[::1]:5000/app", "[::1]:5000/app"],
  ["a/b.lock/c", "a/b.lock/c"],
])("%s is the name %s, by docker's rules", (text, name) => {
  expect(checkName(text)).toBe(name);
  expect(checkName(name)).toBe(name);
  expect(isName(text)).toBe(true);
  const folder = namedFolder(text, "/s");
  expect(dirname(folder)).toBe("/s");
  expect(isEntry(folder)).toBe(true);
  expect(nameOfFolder(folder)).toBe(name);
  expect(snapshotFolder(text, { snapshotsDir: "/s" })).toBe(folder);
});

test.each([
  "",
  ".",
  "..",
  ".a",
  "-a",
  "_a",
  "../a",
  "/a",
  "./a",
  "a/../b",
  "a//b",
  "a b",
  "ä",
  "a\n",
  "a\0",
  "team/App",
])("%j is no name", (text) => {
  expect(isName(text)).toBe(false);
  expect(() => checkName(text)).toThrow(UsageError);
});

test.each([
  "oci-layout:app",
  "oci-archive:app.tar",
  "docker:app",
  `app@sha256:${"a".repeat(64)}`,
  "a".repeat(64).replaceAll("a", "0").concat("/../x"),
  `registry.example/${"long/".repeat(40)}app`,
])("%s means something else, or would have no folder", (text) => {
  expect(isName(text)).toBe(false);
});

test.each(["a.lock", "a.partial", "a.old.partial", "app:1.lock", "team/a.partial"])(
  "%s is what the store takes for something of its own",
  (text) => {
    expect(isName(text)).toBe(false);
    expect(() => checkName(text)).toThrow(UsageError);
  },
);

test("a folder that was called otherwise is its own name", () => {
  for (const name of ["plain", "my%zz", "a%2Fb%", "App%3A1"]) expect(nameOfFolder(`/x/${name}`)).toBe(name);
});

test("VMs are called after the last part of the name", () => {
  expect(["python-0123456789ab", "example.org:5000/team/app:1.0", "app"].map(shortName)).toEqual([
    "python",
    "app",
    "app",
  ]);
});
