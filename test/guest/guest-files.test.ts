import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { finished } from "node:stream/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FileEvent, FileInfo } from "../../src/guest/index.js";
import { type RunningAgent, startAgent } from "./agent-under-test.js";

describe.each(["plain", "sanitized"] as const)("files (%s agent)", (build) => {
  let running: RunningAgent;
  let root: string;
  beforeAll(async () => {
    running = await startAgent(build);
  }, 120_000);
  afterAll(() => running[Symbol.asyncDispose]());
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "agent-files-"));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const files = () => running.agent.files;
  const at = (name: string) => join(root, name);
  const listed = async (path: string, recursive = false): Promise<FileInfo[]> => {
    const found: FileInfo[] = [];
    for await (const info of files().list(path, { recursive })) found.push(info);
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  };

  test("are listed with all that is known of them", async () => {
    writeFileSync(at("file"), "content", { mode: 0o640 });
    symlinkSync("file", at("link"));
    symlinkSync("nowhere", at("dangling"));
    mkdirSync(at("folder/sub"), { recursive: true });
    writeFileSync(at("folder/sub/ünïcödé\nname"), "");
    writeFileSync(at("sparse"), "");
    truncateSync(at("sparse"), 2 ** 32);
    const infos = await listed(root);
    expect(infos.map(({ name, type }) => `${name} ${type}`)).toEqual([
      "dangling symlink",
      "file file",
      "folder directory",
      "link symlink",
      "sparse file",
    ]);
    const stat = statSync(at("file"));
    expect(infos[1]).toMatchObject({ mode: 0o640, size: 7, uid: 0, gid: 0, links: 1, inode: stat.ino });
    expect(infos[1]?.modifiedAt.getTime()).toBe(Math.trunc(stat.mtimeMs));
    expect(infos[3]?.target).toBe("file");
    expect(infos[4]).toMatchObject({ size: 2 ** 32, allocatedBytes: 0 });
    const names = (await listed(root, true)).map(({ name }) => name);
    expect(names).toContain("folder/sub/ünïcödé\nname");
    expect(names).toHaveLength(7);
    symlinkSync("folder", at("to-folder"));
    expect((await listed(at("to-folder"))).map(({ name }) => name)).toEqual(["sub"]);
  });

  test("that are not there, or no folder, are errors with a name and a number", async () => {
    writeFileSync(at("file"), "");
    await expect(listed(at("missing"))).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_GUEST_FILE", errno: "ENOENT" });
    await expect(listed(at("file"))).rejects.toMatchObject({ errno: "ENOTDIR", path: at("file") });
    await expect(files().stat(at("missing"), { follow: true })).rejects.toMatchObject({ errno: "ENOENT" });
    await expect(files().remove({ path: at("missing") })).rejects.toMatchObject({ errno: "ENOENT" });
    await expect(files().mkdir({ path: at("a/b") })).rejects.toMatchObject({ errno: "ENOENT" });
    await expect(files().mkdir({ path: at("file") })).rejects.toMatchObject({ errno: "EEXIST" });
    await expect(files().chown({ path: at("file"), user: "nobody-here" })).rejects.toMatchObject({ errno: "ENOENT" });
  });

  test("are looked at through links or not", async () => {
    writeFileSync(at("file"), "12345");
    symlinkSync("file", at("link"));
    expect(await files().stat(at("link"), { follow: true })).toMatchObject({ name: "link", type: "file", size: 5 });
    expect(await files().stat(at("link"), { follow: false })).toMatchObject({ type: "symlink", target: "file" });
  });

  test("are made, renamed, given modes and owners, and removed", async () => {
    await files().mkdir({ path: at("a/b/c"), parents: true, mode: 0o700, user: "12:34" });
    await files().mkdir({ path: at("a/b/c/"), parents: true });
    expect(statSync(at("a/b/c"))).toMatchObject({ uid: 12, gid: 34 });
    expect(statSync(at("a/b/c")).mode & 0o7777).toBe(0o700);
    writeFileSync(at("a/b/f"), "");
    symlinkSync("/etc/passwd", at("a/b/l"));
    await files().chmod({ path: at("a"), mode: 0o711, recursive: true });
    await files().chown({ path: at("a"), user: "56:78", recursive: true });
    for (const name of ["a", "a/b", "a/b/c", "a/b/f"]) {
      expect(statSync(at(name))).toMatchObject({ uid: 56, gid: 78 });
      expect(statSync(at(name)).mode & 0o7777).toBe(0o711);
    }
    expect(statSync("/etc/passwd")).toMatchObject({ uid: 0 });
    await files().rename({ path: at("a"), target: at("z") });
    await files().symlink({ path: at("to-z"), target: "z" });
    await expect(files().remove({ path: at("z") })).rejects.toMatchObject({ errno: "ENOTEMPTY" });
    await files().remove({ path: at("to-z"), recursive: true });
    expect(await listed(at("z"))).toHaveLength(1);
    await files().remove({ path: at("z"), recursive: true });
    await files().remove({ path: at("z"), recursive: true, force: true });
    expect(await listed(root)).toEqual([]);
  });

  test("are removed however deep they are, and by the thousand", async () => {
    let deep = at("deep");
    for (let i = 0; i < 200; i++) deep = join(deep, "level");
    mkdirSync(deep, { recursive: true });
    for (let i = 0; i < 3_000; i++) writeFileSync(join(root, "deep", `${i}`), "");
    expect((await listed(at("deep"), true)).length).toBe(3_200);
    await files().remove({ path: at("deep"), recursive: true });
    expect(await listed(root)).toEqual([]);
  });

  test("are read and written in parts", async () => {
    const start = files().openWrite(at("f"), { inPlace: {}, mode: 0o600 });
    start.end("0123456789");
    await finished(start);
    await files().write(at("f"), "ABC", { inPlace: { offset: 3 } });
    await files().write(at("f"), "end", { inPlace: { append: true } });
    expect(readFileSync(at("f"), "latin1")).toBe("012ABC6789end");
    expect(statSync(at("f")).mode & 0o7777).toBe(0o600);
    expect(await text(files().openRead(at("f"), { offset: 2, length: 5 }))).toBe("2ABC6");
    await files().write(at("f"), "new", { inPlace: { truncate: true } });
    await files().write(at("f"), "far", { inPlace: { offset: 2 ** 32 } });
    expect(statSync(at("f")).size).toBe(2 ** 32 + 3);
    expect(await text(files().openRead(at("f"), { offset: 2 ** 32 }))).toBe("far");
  });

  test("written by a stream are whole or not there", async () => {
    const content = Buffer.alloc(2_000_000, "abc");
    const good = files().openWrite(at("good"));
    for (let i = 0; i < content.length; i += 100_000) good.write(content.subarray(i, i + 100_000));
    good.end();
    await finished(good);
    expect((await buffer(files().openRead(at("good")))).equals(content)).toBe(true);
    const torn = files().openWrite(at("torn"));
    torn.on("error", () => undefined);
    torn.write(content);
    torn.destroy();
    await expect.poll(async () => (await listed(root)).map(({ name }) => name)).toEqual(["good"]);
    const refused = files().openWrite(at("no/such/folder"));
    refused.write("x");
    await expect(finished(refused)).rejects.toMatchObject({ errno: "ENOENT" });
  });

  test("are watched, with folders that are made meanwhile", async () => {
    mkdirSync(at("old"));
    using watcher = await files().watch(root, { recursive: true });
    const seen: FileEvent[] = [];
    const watching = (async () => {
      for await (const event of watcher) seen.push(event);
    })();
    const has = async (type: FileEvent["type"], path: string) => expect.poll(() => seen).toContainEqual({ type, path });
    writeFileSync(at("old/file"), "x");
    await has("created", "old/file");
    await has("changed", "old/file");
    mkdirSync(at("new/deep"), { recursive: true });
    writeFileSync(at("new/deep/file"), "x");
    await has("created", "new/deep/file");
    rmSync(at("old"), { recursive: true });
    await has("removed", "old/file");
    await has("removed", "old");
    watcher.close();
    await watching;
  });

  test("one is watched, and its end is told", async () => {
    writeFileSync(at("one"), "x");
    using watcher = await files().watch(at("one"), { recursive: false });
    writeFileSync(at("one"), "y");
    rmSync(at("one"));
    const seen: string[] = [];
    for await (const { type } of watcher) {
      seen.push(type);
      if (type === "gone") break;
    }
    expect(seen).toContain("changed");
    await expect(files().watch(at("one"), { recursive: false })).rejects.toMatchObject({ errno: "ENOENT" });
  });
});
