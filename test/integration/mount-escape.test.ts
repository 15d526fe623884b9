import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Image, type SymlinkPolicy, type Vm } from "../../src/index.js";
import { debianPythonImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { remainingWorkers } from "../support/leftovers.js";

const POLICIES: SymlinkPolicy[] = ["deny", "opaque", "follow"];
let vm: Vm;
let neighbour: Vm;
let folder: ReturnType<typeof temporaryFolder>;
const at = (...names: string[]) => join(folder.path, ...names);

beforeAll(async () => {
  folder = temporaryFolder();
  mkdirSync(at("beside"));
  writeFileSync(at("beside", "file"), "secret of the host");
  for (const name of POLICIES) {
    mkdirSync(at(name, "other"), { recursive: true });
    writeFileSync(at(name, "other", "file"), "of the mount");
    symlinkSync("../beside", at(name, "out"));
  }
  const image = await Image.fromOci(`oci-archive:${(await debianPythonImage()).archive}`);
  vm = await image.start({
    mounts: POLICIES.map((symlinks) => ({ host: at(symlinks), guest: `/mounted/${symlinks}`, symlinks })),
  });
  neighbour = await image.start({ mounts: [{ host: at("beside"), guest: "/beside" }] });
});
afterAll(async () => {
  await vm.stop();
  await neighbour.stop();
  folder[Symbol.dispose]();
  expect(await remainingWorkers()).toEqual([]);
});

/** Exchanges folders and links in one process, and uses what is below them in others meanwhile. */
const ATTACK = `
import os, multiprocessing
def attempt(what, *args):
    try: return what(*args)
    except OSError: return None
def read(path):
    with open(path) as f: return f.read()
def write(path, text):
    with open(path, 'w') as f: f.write(text)
def exchange(now):
    for _ in range(6):
        # A link that leads out may be there without being seen, so that nothing else can be made in its place.
        now.value += 1
        x = f'x{now.value}'
        attempt(os.makedirs, f'{x}/y')
        attempt(write, f'{x}/y/file', 'mine')
        for _ in range(3):
            attempt(os.rename, f'{x}/y', f'{x}/z')
            attempt(os.symlink, '../../beside', f'{x}/y')
            attempt(os.rename, x, 'w')
            attempt(os.symlink, '../beside', x)
            for link in x, 'w/y': attempt(os.unlink, link)
            attempt(os.rename, 'w', x)
            attempt(os.rename, f'{x}/z', f'{x}/y')
        attempt(os.rename, 'w', f'old{now.value}')
    over.set()
def use(seen, now):
    found = set()
    while True:
        x = f'x{now.value}'
        for path in f'{x}/y/file', f'{x}/z/file', 'w/z/file', f'{x}/file', f'{x}/y/../../../beside/file', '../beside/file', 'out/file', 'other/file':
            found.add(attempt(read, path))
        for path in f'{x}/y/new', f'{x}/new', 'out/new', 'w/y/new':
            attempt(write, path, 'planted')
            attempt(os.link, path, path + '2')
            attempt(os.rename, path, path + '3')
        for path in f'{x}/y', x, 'out': found.update(attempt(os.listdir, path) or [])
        attempt(os.chmod, 'out/file', 0o777)
        attempt(os.truncate, 'out/file', 1)
        if over.is_set(): break
    seen.update({each: 1 for each in found if each})
seen = multiprocessing.Manager().dict()
now = multiprocessing.Value('i', 0)
over = multiprocessing.Event()
workers = [multiprocessing.Process(target=exchange, args=(now,))] + [multiprocessing.Process(target=use, args=(seen, now)) for _ in range(2)]
for each in workers: each.start()
for each in workers: each.join()
print(seen.keys())
`;

test.each(POLICIES)(
  "renames and links during use lead root in the guest nowhere out of a folder (%s)",
  async (symlinks) => {
    const cwd = `/mounted/${symlinks}`;
    const { stdout, stderr } = await vm.run(["python3", "-c", ATTACK], { cwd, timeoutMs: 120_000 });
    expect(stderr).toBe("");
    expect(stdout).toContain("of the mount");
    expect(stdout).not.toContain("secret");
    expect(readdirSync(at("beside"))).toEqual(["file"]);
    expect(readFileSync(at("beside", "file"), "utf8")).toBe("secret of the host");
    expect((await vm.run(["cat", "other/file"], { cwd })).stdout).toBe("of the mount");
    expect((await neighbour.run(["cat", "/beside/file"])).stdout).toBe("secret of the host");
  },
);
