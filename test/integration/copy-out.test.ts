import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { CopyError, type CopyProgress, home, Image, NoSpaceError, type Vm } from "../../src/index.js";
import { sweepScratch } from "../../src/store/index.js";
import { everyKindTar } from "../support/every-kind-tar.js";
import { readFolder } from "../support/folder-listing.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { litter, remainingWorkers } from "../support/leftovers.js";
import { differences, type ListedNode, type Listing } from "../support/tree-listing.js";

let reference: string;
let vm: Vm;
let folder: ReturnType<typeof temporaryFolder>;
const at = (...names: string[]) => join(folder.path, ...names);
const sh = async (script: string) => {
  const { stdout, stderr } = await vm.run(["sh", "-c", script], { user: "root", timeoutMs: 60_000 });
  return stderr + stdout;
};

beforeAll(async () => {
  reference = `oci-archive:${(await busyboxImage()).archive}`;
  vm = await (await Image.fromOci(reference)).start();
});
beforeEach(async () => {
  folder = temporaryFolder();
  await sh("rm -rf /copy /copy.link; mkdir /copy");
});
afterEach(() => {
  folder[Symbol.dispose]();
  const own = readdirSync(home().run).filter((name) => name.startsWith(`${process.pid}-`) && name.includes(".copy"));
  expect(own).toEqual([]);
});
afterAll(async () => {
  await vm.stop();
  expect(await remainingWorkers()).toEqual([]);
  expect(litter()).toEqual([]);
});

test("a tree with every kind of file comes back as it was", async () => {
  const tar = everyKindTar({ huge: false });
  mkdirSync(at("tree"));
  try {
    execFileSync("tar", ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", tar, "-C", at("tree")]);
  } finally {
    rmSync(dirname(tar), { recursive: true });
  }
  await vm.copyIn(at("tree"), "/copy/tree");
  const options = { preserveOwner: true, keepSetuid: true, keepOutsideLinks: true };
  const { files, skipped } = await vm.copyOut("/copy/tree", at("back"), options);
  const expected = readFolder(at("tree"));
  const isLeftOut = ({ type }: ListedNode) => ["char", "block", "fifo"].includes(type);
  const leftOut = Object.values(expected).filter(isLeftOut).length;
  expect(skipped).toHaveLength(leftOut);
  expect(files).toBe(Object.keys(expected).length - 1 - leftOut);
  expect(differences(comparable(readFolder(at("back"))), comparable(expected))).toEqual([]);
});

/** Times here are set as fractions of a second; a root in memory keeps no attributes of users. */
function comparable(listing: Listing): Listing {
  return Object.fromEntries(
    Object.entries(listing)
      .filter(([, { type }]) => !["char", "block", "fifo"].includes(type))
      .map(([path, { xattrs, ...node }]) => {
        const kept = Object.entries(xattrs ?? {}).filter(([name]) =>
          /^(security\.capability$|system\.posix)/.test(name),
        );
        const mtime = node.mtime.replace(/\.(\d{6})\d*/, ".$1");
        return [path, { ...node, mtime, ...(kept.length > 0 && { xattrs: Object.fromEntries(kept) }) }];
      }),
  );
}

test("large files keep their content and their holes, and go where docker cp would put them", async () => {
  await sh(
    "cd /copy && head -c 20000001 /dev/urandom > large && echo text > small && truncate -s 200000000 sparse && dd if=large of=sparse bs=4096 seek=30000 count=100 conv=notrunc 2>/dev/null",
  );
  const sums = await sh("cd /copy && md5sum large small sparse");
  const seen: CopyProgress[] = [];
  await vm.copyOut("/copy", at("new"), { onProgress: (progress) => seen.push(progress) });
  expect(execFileSync("md5sum", ["large", "small", "sparse"], { cwd: at("new"), encoding: "utf8" })).toBe(sums);
  expect(statSync(at("new", "sparse")).blocks * 512).toBeLessThan(2 ** 20);
  expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(["packing", "unpacking"]));
  await vm.copyOut("/copy/small", at("renamed"));
  await vm.copyOut("/copy/small", at("new"));
  await vm.copyOut("/copy", at("new"));
  await vm.copyOut("/copy/.", at("new"));
  expect(readdirSync(folder.path).sort()).toEqual(["new", "renamed"]);
  expect(readdirSync(at("new")).sort()).toEqual(["copy", "large", "small", "sparse"]);
  expect(readFileSync(at("renamed"), "utf8")).toBe("text\n");
  await expect(vm.copyOut("/copy/small", `${at("missing")}/`)).rejects.toBeInstanceOf(CopyError);
  await expect(vm.copyOut("/copy", at("renamed"))).rejects.toBeInstanceOf(CopyError);
  await expect(vm.copyOut("/copy/nothing", at("x"))).rejects.toMatchObject({ errno: "ENOENT" });
});

test("links, names of one file, and files of the kernel are as they are", async () => {
  await sh(
    "cd /copy && echo text > file && ln file same && ln -s file link && ln -s /etc/passwd out && ln -s /copy /copy.link",
  );
  const { skipped } = await vm.copyOut("/copy", at("new"));
  expect(skipped).toEqual([{ path: "out", reason: "outside link" }]);
  expect(readdirSync(at("new")).sort()).toEqual(["file", "link", "same"]);
  expect(statSync(at("new", "same")).ino).toBe(statSync(at("new", "file")).ino);
  await vm.copyOut("/copy.link", at("followed"), { followSymlinks: true });
  expect(existsSync(at("followed", "file"))).toBe(true);
  const whole = await vm.copyOut("/", at("root"));
  expect(readdirSync(at("root", "proc"))).toEqual([]);
  expect(readdirSync(at("root", "sys"))).toEqual([]);
  expect(existsSync(at("root", "etc", "passwd"))).toBe(true);
  expect(whole.skipped).toContainEqual({ path: "dev/null", reason: "device" });
});

test("a copy that is too large, or given up, leaves nothing behind", async () => {
  await sh("dd if=/dev/zero of=/copy/large bs=1M count=57 2>/dev/null");
  await expect(vm.copyOut("/copy", at("new"), { maxBytes: 10_000_000 })).rejects.toBeInstanceOf(NoSpaceError);
  const stop = new AbortController();
  const onProgress = () => stop.abort(new Error("enough"));
  await expect(vm.copyOut("/copy", at("new"), { onProgress, signal: stop.signal })).rejects.toThrow("enough");
  writeFileSync(at("file"), "old");
  await expect(vm.copyOut("/copy/large", at("file"), { maxBytes: 10_000_000 })).rejects.toBeInstanceOf(NoSpaceError);
  expect(readdirSync(folder.path)).toEqual(["file"]);
  expect(readFileSync(at("file"), "utf8")).toBe("old");
  expect(await vm.copyOut("/copy/large", at("file"))).toMatchObject({ files: 1, bytes: 57 * 2 ** 20 });
});

test("what a process that was killed amid a copy has half-made is removed by the next copy", async () => {
  const child = fork("test/support/copy-child.ts", [reference, at("tree")], { execArgv: ["--import", "tsx"] });
  await once(child, "message");
  expect(readdirSync(folder.path)).toEqual([expect.stringMatching(/^\.supermachine-/)]);
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
  await sh("echo text > /copy/file");
  await vm.copyOut("/copy/file", at("file"));
  expect(readdirSync(folder.path)).toEqual(["file"]);
  // The disk of the copy goes with the next start of a microVM.
  await sweepScratch(home().run, "copy");
});
