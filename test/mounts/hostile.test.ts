import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pseudoRandom } from "../guest/frame-builder.js";
import { openDescriptors } from "../support/leftovers.js";
import { createIn, FuseClient, message, Opcode, readIn, text, u32, u64, writeIn } from "./fuse-client.js";

const [EPERM, ENFILE, EINVAL, ENAMETOOLONG, ESTALE, EFBIG] = [1, 23, 22, 36, 116, 27];
let client: FuseClient;
let descriptors: number;
const inRoot = (...names: string[]) => join(client.root, ...names);
const secret = () => readFileSync(join(client.beside, "secret"), "utf8");

beforeEach(() => {
  descriptors = openDescriptors();
  client = new FuseClient();
  writeFileSync(join(client.beside, "secret"), "untouched");
});
afterEach(async () => {
  expect([secret(), readdirSync(client.beside)]).toEqual(["untouched", ["secret"]]);
  client[Symbol.dispose]();
  await expect.poll(openDescriptors).toBe(descriptors);
});

const BAD_NAMES = ["", ".", "..", "../beside/secret", "a/b", "/etc/passwd", "x/"];

test.each(BAD_NAMES)("the name %j is refused by everything that takes one", async (name) => {
  writeFileSync(inRoot("file"), "x");
  const file = await client.find("file");
  const tries: [number, Buffer][] = [
    [Opcode.lookup, text(name)],
    [Opcode.create, createIn(name)],
    [Opcode.mknod, Buffer.concat([u32(0o100644, 0, 0, 0), text(name)])],
    [Opcode.mkdir, Buffer.concat([u32(0o755, 0), text(name)])],
    [Opcode.unlink, text(name)],
    [Opcode.rmdir, text(name)],
    [Opcode.symlink, text(name, "target")],
    [Opcode.link, Buffer.concat([u64(file), text(name)])],
    [Opcode.rename, Buffer.concat([u64(1), text(name, "new")])],
    [Opcode.rename, Buffer.concat([u64(1), text("file", name)])],
    [Opcode.rename2, Buffer.concat([u64(1), u32(0, 0), text("file", name)])],
  ];
  for (const [opcode, body] of tries) expect((await client.request(opcode, 1, body)).errno).toBe(EINVAL);
  expect(readdirSync(client.root)).toEqual(["file"]);
});

test("a name without an end, or without end, is refused", async () => {
  expect((await client.request(Opcode.lookup, 1, Buffer.from("unterminated"))).errno).toBe(EINVAL);
  expect((await client.request(Opcode.lookup, 1, Buffer.alloc(0))).errno).toBe(EINVAL);
  expect((await client.request(Opcode.lookup, 1, text("x".repeat(256)))).errno).toBe(ENAMETOOLONG);
  expect((await client.request(Opcode.rename, 1, Buffer.concat([u64(1), text("only-one")]))).errno).toBe(EINVAL);
});

test("a link that leads out is never followed here, whatever takes the place of a folder or file", async () => {
  mkdirSync(inRoot("folder"));
  writeFileSync(inRoot("folder", "secret"), "inside");
  writeFileSync(inRoot("file"), "inside");
  const [folder, inner, file] = [
    await client.find("folder"),
    await client.find("folder/secret"),
    await client.find("file"),
  ];
  const handle = await client.open(inner, 2);
  rmSync(inRoot("folder"), { recursive: true });
  rmSync(inRoot("file"));
  symlinkSync(client.beside, inRoot("folder"));
  symlinkSync(join(client.beside, "secret"), inRoot("file"));
  await expect(client.open(file, 2)).rejects.toThrow(String(ESTALE));
  // Gone from its place, but open: it is still the same file.
  expect(await client.read(await client.open(inner, 2))).toBe("inside");
  expect((await client.request(Opcode.write, inner, writeIn(handle, 0, Buffer.from("OVER")))).errno).toBe(0);
  expect((await client.request(Opcode.create, folder, createIn("planted"))).errno).not.toBe(0);
  expect((await client.request(Opcode.unlink, folder, text("secret"))).errno).not.toBe(0);
  expect((await client.request(Opcode.create, 1, createIn("file", 2 | 0o1000))).errno).not.toBe(0);
  const size = Buffer.alloc(88);
  size.writeUInt32LE(8, 0);
  expect((await client.request(Opcode.setattr, file, size)).errno).toBe(ESTALE);
  const link = Number((await client.request(Opcode.lookup, 1, text("file"))).body.readBigUInt64LE(0));
  await expect(client.open(link, 2)).rejects.toThrow(String(EINVAL));
  size.writeUInt32LE(1, 0);
  expect((await client.request(Opcode.setattr, link, size)).errno).not.toBe(0);
});

test("a folder that is exchanged with a link again and again gives nothing away", async () => {
  mkdirSync(inRoot("folder"));
  writeFileSync(inRoot("folder", "secret"), "inside");
  symlinkSync(client.beside, inRoot("link"));
  const script = `const { renameSync } = require("node:fs"); process.chdir(${JSON.stringify(client.root)});
    for (const end = Date.now() + 1500; Date.now() < end; ) {
      renameSync("folder", "away"); renameSync("link", "folder"); renameSync("folder", "link"); renameSync("away", "folder"); }`;
  let swapping = true;
  const swapper = import("execa")
    .then(({ execa }) => execa("node", ["-e", script]))
    .finally(() => {
      swapping = false;
    });
  let [reads, refusals] = [0, 0];
  while (swapping) {
    await turn();
    try {
      const node = await client.find("folder/secret");
      const handle = await client.open(node, 2);
      expect(await client.read(handle)).toMatch(/^inside|^written/);
      await client.request(Opcode.write, node, writeIn(handle, 0, Buffer.from("written")));
      await client.request(Opcode.release, node, u64(handle, 0, 0));
      reads++;
    } catch (error) {
      if (!/: \d+$/.test((error as Error).message)) throw error;
      refusals++;
    }
  }
  await swapper;
  expect(reads).toBeGreaterThan(0);
  expect(refusals).toBeGreaterThan(0);
}, 30_000);

test("devices and pipes are not made, and those that are there are not opened", async () => {
  for (const type of [0o020000, 0o060000, 0o010000, 0o140000])
    expect(
      (await client.request(Opcode.mknod, 1, Buffer.concat([u32(type | 0o644, 0x103, 0, 0), text("d")]))).errno,
    ).toBe(EPERM);
  execFileSync("mkfifo", [inRoot("pipe")]);
  await expect(client.open(await client.find("pipe"))).rejects.toThrow(String(EINVAL));
  writeFileSync(inRoot("file"), "x");
  const file = await client.find("file");
  // In the place of a file that is known already.
  renameSync(inRoot("pipe"), inRoot("file"));
  await expect(client.open(file)).rejects.toThrow(String(ESTALE));
});

test("numbers of nodes and handles that nobody gave mean nothing", async () => {
  for (const node of [0, 2, 99, 2n ** 53n + 1n, 2n ** 64n - 1n])
    expect((await client.request(Opcode.getattr, node, u32(0, 0, 0, 0))).errno).toBe(ESTALE);
  for (const handle of [0, 1, 2n ** 64n - 1n])
    expect((await client.request(Opcode.read, 1, readIn(handle, 0, 10))).errno).toBe(9);
  const folder = (await client.request(Opcode.opendir, 1, u32(0, 0))).body.readBigUInt64LE(0);
  expect((await client.request(Opcode.read, 1, readIn(folder, 0, 10))).errno).toBe(9);
  writeFileSync(inRoot("file"), "x");
  const handle = await client.open(await client.find("file"), 2);
  expect((await client.request(Opcode.readdir, 1, readIn(handle, 0, 100))).errno).toBe(9);
  expect((await client.request(Opcode.read, 1, readIn(handle, 2n ** 60n, 10))).errno).toBe(EFBIG);
});

test("a body that is too short, or says that it is longer, is refused", async () => {
  writeFileSync(inRoot("file"), "x");
  const node = await client.find("file");
  const handle = await client.open(node, 2);
  for (const opcode of Object.values(Opcode).filter((each) => ![2, 36, 38, 42].includes(each))) {
    for (const length of [1, 3, 7, 15]) await client.request(opcode, node, Buffer.alloc(length, 1));
  }
  const lie = writeIn(handle, 0, Buffer.from("short"));
  lie.writeUInt32LE(100_000, 16);
  expect((await client.request(Opcode.write, node, lie)).errno).toBe(EINVAL);
  client.say(message(Opcode.batchForget, 0, Buffer.concat([u32(0xffffffff, 0), u64(node, 1, 1)])));
  client.say(message(Opcode.forget, node, Buffer.alloc(2)));
  expect(readFileSync(inRoot("file"), "utf8")).toBe("x");
});

test.each([0, 39, 140_000, 0xffffffff])("a request of %i bytes ends the connection", (length) => {
  expect(() => client.say(u32(length, 1, 0, 0, 0, 0, 0, 0, 0, 0))).toThrow(/FUSE request of/);
});

test("requests may come in any pieces", async () => {
  writeFileSync(inRoot("file"), "x");
  const node = await client.find("file");
  const handle = await client.open(node, 2);
  const bytes = Buffer.concat([
    message(Opcode.write, node, writeIn(handle, 0, Buffer.from("first"))),
    message(Opcode.write, node, writeIn(handle, 5, Buffer.alloc(50_000, "s"))),
    message(Opcode.write, node, writeIn(handle, 50_005, Buffer.from("last"))),
  ]);
  for (const size of [1, 3, 41, 1000, 65_536]) {
    writeFileSync(inRoot("file"), "");
    for (let at = 0; at < bytes.length; at += size) client.say(Buffer.from(bytes.subarray(at, at + size)));
    await expect.poll(() => client.server.counts.waiting).toBe(0);
    await client.request(Opcode.fsync, node, Buffer.concat([u64(handle), u32(0, 0)]));
    expect(readFileSync(inRoot("file"), "utf8")).toBe(`first${"s".repeat(50_000)}last`);
  }
});

test("the files that a guest may know, and those that it may have open, are bounded", async () => {
  for (let i = 0; i < 1200; i++) writeFileSync(inRoot(`file-${i}`), "");
  const errnos = [];
  for (let i = 0; i < 1200; i++) errnos.push((await client.request(Opcode.lookup, 1, text(`file-${i}`))).errno);
  expect(client.server.counts.nodes).toBe(1000);
  expect(errnos.slice(998)).toEqual([0, ...Array(201).fill(ENFILE)]);
  const node = await client.find("file-1");
  for (let i = 0; i < 50; i++) await client.open(node);
  await expect(client.open(node)).rejects.toThrow(String(ENFILE));
  expect((await client.request(Opcode.opendir, 1, u32(0, 0))).errno).toBe(ENFILE);
  expect((await client.request(Opcode.create, 1, createIn("file-2"))).errno).toBe(ENFILE);
  expect(openDescriptors() - descriptors).toBeLessThan(60);
  for (let id = 2; id <= 1000; id++) client.say(message(Opcode.forget, id, u64(2n ** 63n)));
  expect(client.server.counts.nodes).toBe(2);
});

test("folders nested without end are not, and need few descriptors", async () => {
  let [node, depth] = [1, 0];
  for (let errno = 0; errno === 0; depth++) {
    const made = await client.request(Opcode.mkdir, node, Buffer.concat([u32(0o755, 0), text("d")]));
    errno = made.errno;
    if (errno === 0) node = Number(made.body.readBigUInt64LE(0));
  }
  expect(depth).toBeGreaterThan(400);
  expect(openDescriptors() - descriptors).toBeLessThan(20);
  // rm in one process would need paths that are longer than the system allows.
  execFileSync("rm", ["-rf", inRoot("d")]);
});

test("answers that nobody takes are not made without end", async () => {
  writeFileSync(inRoot("file"), Buffer.alloc(131_072));
  const node = await client.find("file");
  const handle = await client.open(node);
  client.takes = false;
  const before = client.consumed;
  for (let i = 0; i < 500; i++) client.say(message(Opcode.read, node, readIn(handle, 0, 131_072), 10_000n + BigInt(i)));
  for (let i = 0; i < 50; i++) await turn();
  expect(client.server.counts.waiting).toBeGreaterThanOrEqual(500 - 64);
  expect(client.consumed).toBe(before);
  client.takeAll();
  await expect.poll(() => client.consumed).toBe(client.sent);
});

test("a file that is closed while it is read is not closed under the reader", async () => {
  writeFileSync(inRoot("file"), Buffer.alloc(131_072, "r"));
  const node = await client.find("file");
  for (let round = 0; round < 50; round++) {
    const handle = await client.open(node);
    const reading = Array.from({ length: 8 }, () => client.request(Opcode.read, node, readIn(handle, 0, 131_072)));
    const closing = client.request(Opcode.release, node, u64(handle, 0, 0));
    // Takes the number of a descriptor that was closed too early.
    const other = client.open(await client.find("file"), 2);
    for (const { errno, body } of await Promise.all(reading)) {
      expect(errno).toBe(0);
      expect(body.length).toBe(131_072);
    }
    await closing;
    await client.request(Opcode.release, node, u64(await other, 0, 0));
  }
});

test.each([1, 2, 3, 4, 5, 6])("random requests do no harm (seed %i)", async (seed) => {
  const random = pseudoRandom(seed);
  const opcodes = Object.values(Opcode);
  const words = ["a", "b", "..", "secret", "../beside", "/", "x".repeat(300), "", "link"];
  symlinkSync(client.beside, inRoot("link"));
  for (let i = 0; i < 3000; i++) {
    const numbers = Array.from({ length: random(20) }, () => (random(8) ? random(6) : random(2 ** 31)));
    const names = Array.from({ length: random(3) }, () => words[random(words.length)]!);
    const body = Buffer.concat([u32(...numbers), text(...names)]);
    const opcode = random(30) ? opcodes[random(opcodes.length)]! : random(60);
    client.say(message(opcode, random(6), body.subarray(0, random(12) ? body.length : random(body.length + 1))));
    if (i % 50 === 0) await turn();
  }
  await expect.poll(() => client.consumed).toBe(client.sent);
});
