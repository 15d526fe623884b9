import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Image, type Vm } from "../../src/index.js";
import { servicesImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { copyPrograms, npmFolder } from "../support/programs-of-host.js";

const SUPPORT = join(import.meta.dirname, "../support");
let folder: ReturnType<typeof temporaryFolder>;
let vm: Vm;
const work = (...names: string[]) => join(folder.path, "work", ...names);
const sh = async (script: string) => {
  const { stdout, stderr, exitCode } = await vm.run(["sh", "-c", script], { cwd: "/mounted", timeoutMs: 150_000 });
  if (exitCode !== 0) throw new Error(`${exitCode}: ${stderr}${stdout}`);
  return stdout;
};

beforeAll(async () => {
  folder = temporaryFolder();
  mkdirSync(work());
  copyPrograms(join(folder.path, "tools"), "node");
  const image = await Image.fromOci(`oci-archive:${(await servicesImage()).archive}`, { memoryMiB: 512 });
  vm = await image.start({
    mounts: [
      { host: work(), guest: "/mounted" },
      { host: join(folder.path, "tools"), guest: "/tools", readOnly: true },
      { host: npmFolder(), guest: "/npm", readOnly: true },
    ],
    volumes: [{ file: join(folder.path, "data.img"), guest: "/data", sizeMiB: 128 }],
  });
});
afterAll(async () => {
  await vm?.stop();
  folder?.[Symbol.dispose]();
});

test("git commits in the guest, and the host's git agrees", async () => {
  const commit = "git -c user.name=guest -c user.email=guest@example.com commit -q";
  await sh(`rm -rf repo && git init -q repo && cd repo && echo one > file && mkdir -p a/b && ln -s ../file a/link && chmod +x file
    for i in $(seq 40); do echo $i > a/b/$i; done; git add -A && ${commit} -m first`);
  expect(await sh("cd repo && git status --short && git fsck 2>&1 && git log --format=%s")).toBe("first\n");
  const git = (...argv: string[]) =>
    execFileSync("git", ["-c", "safe.directory=*", "-C", work("repo"), ...argv], { encoding: "utf8" });
  expect(git("status", "--short")).toBe("");
  writeFileSync(work("repo", "a", "b", "7"), "changed on the host\n");
  expect(git("ls-files").split("\n")).toHaveLength(43);
  await expect.poll(() => sh("cd repo && git status --short")).toBe(" M a/b/7\n");
  await sh(`cd repo && ${commit} -a -m second && git gc -q && git checkout -q -b other HEAD~1`);
  expect(git("log", "--format=%s", "--all")).toBe("second\nfirst\n");
  expect(readFileSync(work("repo", "a", "b", "7"), "utf8")).toBe("7\n");
});

test.each(["/mounted", "/data"])("SQLite and locks work in %s, with every journal", async (place) => {
  copyFileSync(join(SUPPORT, "sqlite-writers.py"), work("sqlite-writers.py"));
  expect(await sh(`rm -f ${place}/db*; python3 sqlite-writers.py ${place}/db`)).toBe(
    "delete 60 570 ok\nwal 60 570 ok\nlocked\n",
  );
});

test.each(["/mounted", "/data"])(
  "random writes, cuts and mappings of a file in %s read back as they ought to",
  async (place) => {
    copyFileSync(join(SUPPORT, "random-file.py"), work("random-file.py"));
    expect(
      await sh(`python3 random-file.py ${place}/subject 150 1 && python3 random-file.py ${place}/subject 150 2`),
    ).toMatch(/^same \d+\nsame \d+\n$/);
  },
);

/** A package whose dependencies are archives beside it. */
function makeProject(): void {
  const names = ["one", "two", "three"];
  for (const name of names) {
    mkdirSync(join(folder.path, name, "lib"), { recursive: true });
    writeFileSync(join(folder.path, name, "package.json"), JSON.stringify({ name, version: "1.0.0", bin: "cli.js" }));
    writeFileSync(join(folder.path, name, "cli.js"), "#!/usr/bin/env node\nconsole.log(process.argv[1])\n");
    for (let i = 0; i < 30; i++) writeFileSync(join(folder.path, name, "lib", `${i}.js`), `module.exports = ${i};\n`);
    writeFileSync(join(folder.path, name, "index.js"), `module.exports = "${name}";\n`);
    mkdirSync(work("project", "archives"), { recursive: true });
    execFileSync("npm", ["pack", "--silent", "--pack-destination", work("project", "archives")], {
      cwd: join(folder.path, name),
      stdio: "pipe",
    });
  }
  const dependencies = Object.fromEntries(names.map((name) => [name, `file:archives/${name}-1.0.0.tgz`]));
  writeFileSync(work("project", "package.json"), JSON.stringify({ name: "project", version: "1.0.0", dependencies }));
  execFileSync("npm", ["install", "--package-lock-only", "--offline", "--no-audit"], {
    cwd: work("project"),
    stdio: "pipe",
  });
}

test("npm ci installs into a mounted folder", async () => {
  makeProject();
  const quick = "--offline --no-audit --no-fund --no-update-notifier --logs-max=0 --cache /tmp/npm";
  const tools = "export PATH=/tools:$PATH LD_LIBRARY_PATH=/tools; cd project";
  await sh(`${tools}; node /npm/bin/npm-cli.js ci ${quick}`);
  expect(readFileSync(work("project", "node_modules", "three", "lib", "29.js"), "utf8")).toBe("module.exports = 29;\n");
  expect(existsSync(work("project", "node_modules", ".bin", "one"))).toBe(true);
  expect(await sh(`${tools}; node -p 'require("one") + require("two/lib/7.js")'`)).toBe("one7\n");
});
