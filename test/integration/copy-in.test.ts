import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { CopyError, type CopyProgress, closePools, home, Image, type Vm } from "../../src/index.js";
import { everyKindTar } from "../support/every-kind-tar.js";
import { readFolder } from "../support/folder-listing.js";
import { busyboxImage, debianPythonImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { litter, remainingWorkers } from "../support/leftovers.js";
import { differences, type Listing } from "../support/tree-listing.js";

const LISTER = join(import.meta.dirname, "../support/list-tree.py");
let image: Image;
let vm: Vm;
let folder: ReturnType<typeof temporaryFolder>;
const at = (...names: string[]) => join(folder.path, ...names);
const sh = async (script: string, where: Vm = vm) => {
  const { stdout, stderr } = await where.run(["sh", "-c", script], { user: "root", timeoutMs: 60_000 });
  return stderr + stdout;
};

beforeAll(async () => {
  image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`);
  vm = await image.start();
});
beforeEach(async () => {
  folder = temporaryFolder();
  mkdirSync(at("tree"));
  await sh("rm -rf /copy; mkdir /copy");
});
afterEach(() => {
  folder[Symbol.dispose]();
  const own = readdirSync(home().run).filter((name) => name.startsWith(`${process.pid}-`) && name.includes(".copy"));
  expect(own).toEqual([]);
});
afterAll(async () => {
  await vm.stop();
  await closePools();
  expect(await remainingWorkers()).toEqual([]);
  expect(litter()).toEqual([]);
});

test("every kind of file comes as it is on the host", async () => {
  const tar = everyKindTar({ huge: false });
  try {
    execFileSync("tar", ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", tar, "-C", at("tree")]);
  } finally {
    rmSync(dirname(tar), { recursive: true });
  }
  const python = await Image.fromOci(`oci-archive:${(await debianPythonImage()).archive}`);
  await using guest = await python.start();
  const expected = readFolder(at("tree"));
  const { files } = await guest.copyIn(`${at("tree")}/.`, "/copy/of/it", { createParents: true });
  expect(files).toBe(Object.keys(expected).length - 1);
  await guest.writeFile("/list-tree.py", readFileSync(LISTER));
  const names = Object.keys(expected).map((name) => join("copy/of/it", name));
  await guest.writeFile("/names.json", JSON.stringify(names));
  const { stdout, stderr } = await guest.run(["python3", "/list-tree.py", "/names.json"]);
  expect(stderr).toBe("");
  expect(differences(comparable(JSON.parse(stdout), "copy/of/it"), comparable(expected, "."))).toEqual([]);
});

/** A file system in memory keeps no attributes of users, and overlayfs does not count the links of a folder. */
function comparable(listing: Listing, top: string): Listing {
  return Object.fromEntries(
    Object.entries(listing).map(([path, { xattrs, sameAs, ...node }]) => {
      const name = top === "." ? path : path.slice(top.length + 1) || ".";
      const kept = Object.entries(xattrs ?? {}).filter(([each]) => /^(security\.capability$|system\.posix)/.test(each));
      const same = sameAs === undefined ? {} : { sameAs: top === "." ? sameAs : sameAs.slice(top.length + 1) };
      const own = node.type === "directory" ? { ...node, nlink: 0, size: 0 } : node;
      return [name, { ...own, ...same, ...(kept.length > 0 && { xattrs: Object.fromEntries(kept) }) }];
    }),
  );
}

test("large files keep their content, their holes and their room", async () => {
  writeFileSync(at("tree", "large"), Buffer.alloc(20 * 2 ** 20 + 12_345, "0123456789abcdef!"));
  execFileSync("truncate", ["-s", "300M", at("tree", "sparse")]);
  execFileSync(
    "dd",
    ["if=/dev/urandom", `of=${at("tree", "sparse")}`, "bs=1M", "seek=200", "count=3", "conv=notrunc"],
    {
      stdio: "ignore",
    },
  );
  const seen: CopyProgress[] = [];
  const { bytes } = await vm.copyIn(at("tree"), "/copy/tree", { onProgress: (progress) => seen.push(progress) });
  expect(bytes).toBeGreaterThan(23 * 2 ** 20);
  expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(["packing", "unpacking"]));
  const sums = execFileSync("sh", ["-c", "md5sum large sparse"], { cwd: at("tree"), encoding: "utf8" });
  expect(await sh("cd /copy/tree && md5sum large sparse")).toBe(sums);
  expect(Number(await sh("du -k /copy/tree/sparse | cut -f 1"))).toBeLessThan(4_096);
});

test("it goes where docker cp would put it", async () => {
  writeFileSync(at("tree", "file"), "text");
  const tree = at("tree");
  await vm.copyIn(at("tree", "file"), "/copy/renamed");
  await vm.copyIn(at("tree", "file"), "/copy/");
  await vm.copyIn(tree, "/copy/new");
  await vm.copyIn(tree, "/copy");
  await vm.copyIn(`${tree}/.`, "/copy/new/.");
  expect(await sh("cd /copy && find . | sort")).toBe(
    ["", "/file", "/new", "/new/file", "/renamed", "/tree", "/tree/file", ""]
      .map((each) => (each ? `.${each}` : each))
      .join("\n")
      .replace(/^\n/, ".\n"),
  );
  await expect(vm.copyIn(at("tree", "file"), "/copy/missing/")).rejects.toMatchObject({ errno: "ENOENT" });
  await expect(vm.copyIn(at("tree", "file"), "/copy/missing/deep")).rejects.toMatchObject({ errno: "ENOENT" });
  await expect(vm.copyIn(tree, "/copy/file")).rejects.toMatchObject({ errno: "ENOTDIR" });
  await expect(vm.copyIn(at("nothing"), "/copy")).rejects.toBeInstanceOf(CopyError);
});

test("what is there is replaced, folders are merged, and neither takes the place of the other", async () => {
  mkdirSync(at("tree", "folder"));
  for (const name of ["file", "folder/new", "link"]) writeFileSync(at("tree", name), "new");
  await sh(
    "mkdir -p /copy/tree/folder && cd /copy/tree && echo old > file && echo old > folder/old && ln -s file link",
  );
  await vm.copyIn(at("tree"), "/copy");
  expect(await sh("cd /copy/tree && cat file folder/new folder/old link && find . -type f | wc -l")).toBe(
    "newnewold\nnew4\n",
  );
  await sh("cd /copy/tree && rm -r file folder && mkdir file");
  await expect(vm.copyIn(at("tree"), "/copy")).rejects.toMatchObject({ errno: "EISDIR" });
  await sh("cd /copy/tree && rmdir file && rm -rf folder && ln -s /etc folder");
  await expect(vm.copyIn(at("tree"), "/copy")).rejects.toMatchObject({ errno: "ENOTDIR" });
  expect(await sh("ls -A /copy; ls /etc/new 2>&1")).toBe("tree\nls: /etc/new: No such file or directory\n");
});

test("owner, followed links and excluded names are as asked for", async () => {
  writeFileSync(at("tree", "file"), "text");
  writeFileSync(at("tree", "a.log"), "text");
  symlinkSync("file", at("tree", "link"));
  await vm.copyIn(at("tree"), "/copy/tree", { owner: "app", followSymlinks: true, exclude: ["*.log"] });
  expect(await sh("cd /copy/tree && stat -c '%n %U:%G %F' . *")).toBe(
    ". app:app directory\nfile app:app regular file\nlink app:app regular file\n",
  );
  const refused = vm.copyIn(at("tree"), "/copy/other", { owner: "nobody-here" });
  await expect(refused).rejects.toThrow(/nobody-here/);
  expect(await sh("ls -A /copy")).toBe("tree\n");
});

test("a copy that does not fit, or is given up, leaves nothing behind", async () => {
  writeFileSync(at("tree", "small"), "text");
  execFileSync("truncate", ["-s", "400M", at("tree", "large")]);
  execFileSync("sh", ["-c", `yes | head -c 200000000 > ${at("tree", "large")}`]);
  const free = async () => Number((await sh("df -k / | tail -n 1")).split(/\s+/)[3]);
  const before = await free();
  await expect(vm.copyIn(at("tree"), "/copy/tree")).rejects.toMatchObject({ errno: "ENOSPC" });
  expect(await sh("ls -A /copy")).toBe("");
  execFileSync("truncate", ["-s", "90M", at("tree", "large")]);
  const stop = new AbortController();
  const onProgress = ({ phase }: CopyProgress) => phase === "unpacking" && stop.abort(new Error("enough"));
  await expect(vm.copyIn(at("tree"), "/copy/tree", { onProgress, signal: stop.signal })).rejects.toThrow("enough");
  expect(await sh("ls -A /copy")).toBe("");
  expect(Math.abs((await free()) - before)).toBeLessThan(1024);
  await vm.copyIn(at("tree", "small"), "/copy/small");
});

test("snapshots and forks are refused during a copy, and work after it; a pooled VM is copied into as well", async () => {
  execFileSync("sh", ["-c", `yes | head -c 50000000 > ${at("tree", "large")}`]);
  let refused: Promise<unknown> | undefined;
  const onProgress = ({ phase }: CopyProgress) => {
    if (phase === "unpacking")
      refused ??= vm.fork().then(
        () => undefined,
        (error: unknown) => error,
      );
  };
  await using guest = await image.acquire();
  await Promise.all([vm.copyIn(at("tree"), "/copy/tree", { onProgress }), guest.copyIn(at("tree"), "/tree")]);
  expect(await refused).toMatchObject({ message: expect.stringMatching(/cannot be captured while files are copied/) });
  await using fork = await vm.fork();
  const clone = fork.vms[0] as Vm;
  await clone.copyIn(at("tree", "large"), "/copy/again");
  expect(await sh("cmp /copy/tree/large /copy/again && ls /copy", clone)).toBe("again\ntree\n");
  expect(await sh("wc -c < /tree/large", guest)).toBe("50000000\n");
  // A copy's disk goes without a trace; the layer's is the only one.
  await expect.poll(() => sh("ls /sys/class/block | grep -c '^sd'")).toBe("1\n");
});
