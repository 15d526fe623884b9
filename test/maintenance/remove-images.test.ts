import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ImageNotFoundError, UsageError } from "../../src/errors.js";
import { removeImages } from "../../src/maintenance/index.js";
import { StoreFixture } from "./store-fixture.js";

const [ONE, TWO] = [`sha256:${"1".repeat(64)}`, `sha256:${"1".repeat(6)}${"2".repeat(58)}`];

let store: StoreFixture;
beforeEach(() => {
  store = new StoreFixture();
});
afterEach(() => store[Symbol.dispose]());

const put = (name: string, reference: string, manifestDigest = ONE) =>
  store.snapshot(name, [], { reference, manifestDigest });
const left = () => readdirSync(join(store.path, "snapshots")).sort();

describe("a snapshot is removed by", () => {
  beforeEach(async () => {
    await put("python-1", "python:test", ONE);
    await put("app-1", "localhost:5000/team/app:1", TWO);
    await put("local-1", "oci-archive:/images/x.tar", `sha256:${"3".repeat(64)}`);
  });

  test.each([
    ["its name", "python-1", "python-1"],
    ["the reference as it was written", "python:test", "python-1"],
    ["the reference in full", "docker.io/library/python:test", "python-1"],
    ["a reference with a port", "localhost:5000/team/app:1", "app-1"],
    ["the reference of a file", "oci-archive:/images/x.tar", "local-1"],
    ["its digest", ONE, "python-1"],
    ["the beginning of its digest", TWO.slice(0, 14), "app-1"],
    ["digits of its digest alone", "3".repeat(12), "local-1"],
    ["its repository with its digest", `localhost:5000/team/app@${TWO}`, "app-1"],
  ])("%s", async (_, name, expected) => {
    expect((await removeImages([name])).map((each) => each.name)).toEqual([expected]);
    expect(left()).toEqual(["app-1", "local-1", "python-1"].filter((each) => each !== expected));
  });

  test("several names at once, one of them twice", async () => {
    await removeImages(["python:test", "app-1", "python-1"]);
    expect(left()).toEqual(["local-1"]);
  });
});

describe("nothing is removed when", () => {
  test.each(["missing", "python", "python:other", "sha256:999999", `other/app@${ONE}`, "4".repeat(12)])(
    "there is no %s",
    async (name) => {
      await put("python-1", "python:test");
      await expect(removeImages(["python-1", name])).rejects.toThrow(ImageNotFoundError);
      await expect(removeImages(["python-1", name])).rejects.toThrow(`there is no snapshot that ${name} names`);
      expect(left()).toEqual(["python-1"]);
    },
  );

  test.each(["../escape", "", "a b"])("%j is no name of anything", async (name) => {
    await put("python-1", "python:test");
    await expect(removeImages([name])).rejects.toThrow(UsageError);
    expect(left()).toEqual(["python-1"]);
  });

  test("a reference stands for several, which are listed; with force all of them go", async () => {
    await put("python-1", "python:test", ONE);
    await put("python-2", "docker.io/library/python:test", TWO);
    const removing = removeImages(["python:test"]);
    await expect(removing).rejects.toThrow(UsageError);
    await expect(removing).rejects.toThrow(/2 snapshots:\n {2}python-1 .*\n {2}python-2 .*\n.*--force/);
    expect(left()).toEqual(["python-1", "python-2"]);
    await removeImages(["python:test"], { force: true });
    expect(left()).toEqual([]);
  });

  test("digits begin several digests, with force too", async () => {
    await put("python-1", "python:test", ONE);
    await put("app-1", "app", TWO);
    for (const force of [false, true]) {
      await expect(removeImages(["sha256:111111"], { force })).rejects.toThrow(/several digests:\n.*python-1|app-1/);
    }
    expect(left()).toEqual(["app-1", "python-1"]);
  });
});

test("a damaged snapshot, which is in no list, is removed by its name", async () => {
  writeFileSync(join(await put("broken", "python:test"), "metadata.json"), "{");
  await removeImages(["broken"]);
  expect(left()).toEqual([]);
});

test("what a tag meant is forgotten with the last snapshot of it, and documents stay", async () => {
  const digest = store.document({ config: {} });
  const [python, app] = [store.tag("docker.io/library/python:test", digest), store.tag("ghcr.io/a/b:1", digest)];
  for (const name of ["python-1", "python-2"]) await put(name, "python:test", digest);
  await removeImages(["python-1"]);
  expect(existsSync(python)).toBe(true);
  await removeImages(["python-2"]);
  expect(existsSync(python)).toBe(false);
  expect(existsSync(app)).toBe(true);
  expect(readdirSync(join(store.path, "blobs/sha256"))).toHaveLength(1);
});
