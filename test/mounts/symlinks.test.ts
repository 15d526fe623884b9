import { mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FuseClient, message, Opcode, text, u32, u64 } from "./fuse-client.js";

const [EPERM, EACCES, ELOOP] = [1, 13, 40];
const S_IFDIR = 0o040000;
let client: FuseClient;
const inRoot = (...names: string[]) => join(client.root, ...names);
const lookup = (node: number, name: string) => client.request(Opcode.lookup, node, text(name));

afterEach(() => client[Symbol.dispose]());

describe("deny", () => {
  beforeEach(() => {
    client = new FuseClient({ symlinks: "deny" });
  });

  test("links can neither be read nor made, but removed", async () => {
    symlinkSync("target", inRoot("link"));
    const node = await client.find("link");
    expect((await client.request(Opcode.readlink, node)).errno).toBe(EACCES);
    expect((await client.request(Opcode.symlink, 1, text("new", "target"))).errno).toBe(EPERM);
    expect((await client.request(Opcode.unlink, 1, text("link"))).errno).toBe(0);
    expect(readdirSync(client.root)).toEqual([]);
  });
});

describe("follow", () => {
  beforeEach(() => {
    client = new FuseClient({ symlinks: "follow" });
    mkdirSync(inRoot("folder", "inner"), { recursive: true });
    writeFileSync(inRoot("folder", "file"), "content");
    writeFileSync(join(client.beside, "secret"), "outside");
  });

  test.each([["folder/file"], ["./folder/../folder//file"], ["again"], ["folder/inner/../file"]])(
    "a link to %s within the folder shows the file",
    async (target) => {
      symlinkSync("folder/file", inRoot("again"));
      symlinkSync(target, inRoot("link"));
      const node = await client.find("link");
      expect(node).toBe(await client.find("folder/file"));
      expect(await client.read(await client.open(node))).toBe("content");
    },
  );

  test("an absolute link into the folder is followed", async () => {
    symlinkSync(inRoot("folder", "file"), inRoot("link"));
    expect(await client.read(await client.open(await client.find("link")))).toBe("content");
  });

  test("a folder behind a link is a folder of its own, with the same files in it", async () => {
    symlinkSync("folder", inRoot("link"));
    const { body } = await lookup(1, "link");
    expect(body.readUInt32LE(40 + 60) & S_IFDIR).toBe(S_IFDIR);
    const [behind, itself] = [await client.find("link"), await client.find("folder")];
    expect(behind).not.toBe(itself);
    expect(await client.find("link/inner")).not.toBe(await client.find("folder/inner"));
    expect(await client.find("link/file")).toBe(await client.find("folder/file"));
    const made = await client.request(Opcode.mkdir, behind, Buffer.concat([u32(0o755, 0), text("made")]));
    expect(made.errno).toBe(0);
    expect(readdirSync(inRoot("folder")).sort()).toEqual(["file", "inner", "made"]);
  });

  test.each([
    ["../beside/secret"],
    [".."],
    ["folder/../../beside/secret"],
    ["folder/inner/../../../beside"],
    ["/etc/passwd"],
    ["up/secret"],
  ])("a link to %s leads out, and is refused", async (target) => {
    symlinkSync("../beside", inRoot("up"));
    symlinkSync(target, inRoot("link"));
    expect((await lookup(1, "link")).errno).toBe(EACCES);
  });

  test("a path that only begins like the folder's leads out, too", async () => {
    symlinkSync(`${client.root}-beside/secret`, inRoot("link"));
    expect((await lookup(1, "link")).errno).toBe(EACCES);
  });

  test("links in a circle, and to a folder around them, are refused", async () => {
    symlinkSync("b", inRoot("a"));
    symlinkSync("a", inRoot("b"));
    symlinkSync("..", inRoot("folder", "inner", "up"));
    expect((await lookup(1, "a")).errno).toBe(ELOOP);
    expect((await lookup(await client.find("folder/inner"), "up")).errno).toBe(ELOOP);
  });

  test("folders that link to each other look deep, but not endless", async () => {
    mkdirSync(inRoot("other"));
    symlinkSync("../other", inRoot("folder", "to"));
    symlinkSync("../folder", inRoot("other", "to"));
    let [node, depth] = [await client.find("folder"), 0];
    for (; depth < 100; depth++) {
      const { errno, body } = await lookup(node, "to");
      if (errno !== 0) break;
      node = Number(body.readBigUInt64LE(0));
    }
    expect(depth).toBeGreaterThan(1);
    expect(depth).toBeLessThan(10);
  });

  test("a link that leads nowhere is not there, and one that is removed is removed itself", async () => {
    symlinkSync("missing", inRoot("link"));
    expect((await lookup(1, "link")).body.readBigUInt64LE(0)).toBe(0n);
    symlinkSync("folder", inRoot("kept"));
    expect((await client.request(Opcode.unlink, 1, text("kept"))).errno).toBe(0);
    expect(readdirSync(client.root).sort()).toEqual(["folder", "link"]);
    expect(readlinkSync(inRoot("link"))).toBe("missing");
  });

  test("what was met on the way is forgotten", async () => {
    symlinkSync("folder/inner/../file", inRoot("link"));
    symlinkSync("folder/inner/missing", inRoot("dangling"));
    const node = await client.find("link");
    await lookup(1, "dangling");
    client.say(message(Opcode.forget, node, u64(1)));
    expect(client.server.counts.nodes).toBe(1);
  });
});
