import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { remainingWorkers } from "../support/leftovers.js";

const cli = (...args: string[]) => execa("node", ["dist/cli/main.js", ...args], { reject: false, stdin: "ignore" });
let busybox: string;
let folder: ReturnType<typeof temporaryFolder>;

beforeAll(async () => {
  busybox = `oci-archive:${(await busyboxImage()).archive}`;
});
beforeEach(() => {
  folder = temporaryFolder();
  mkdirSync(join(folder.path, "src"));
  writeFileSync(join(folder.path, "src", "file"), "of the host\n");
});
afterEach(async () => {
  await cli("rm", "--force", "e2e-mounted");
  await cli("volume", "rm", "e2e-data");
  folder[Symbol.dispose]();
  expect(await remainingWorkers()).toEqual([]);
});

test("run mounts folders, for the user who was asked for", async () => {
  const src = join(folder.path, "src");
  const script = "cat file; echo made > new; stat -c %U new; echo x > /fixed/file || echo fixed";
  const mounts = ["--mount", `${src}:/mounted`, "-v", `${src}:/fixed:ro`];
  const { stdout } = await cli("run", ...mounts, "-w", "/mounted", "-u", "app", busybox, "--", "sh", "-c", script);
  expect(stdout).toBe("of the host\napp\nfixed");
  expect(readFileSync(join(src, "new"), "utf8")).toBe("made\n");
  const { exitCode, stderr } = await cli("run", "--mount", "/no/such:/mounted", busybox, "--", "true");
  expect([exitCode, stderr]).toEqual([
    2,
    expect.stringMatching(/\/no\/such cannot be mounted: there is no such folder/),
  ]);
});

test("volumes are made, kept from run to run, listed and removed", async () => {
  expect(await cli("volume", "create", "e2e-data", "--size", "64M")).toMatchObject({ stdout: "e2e-data", exitCode: 0 });
  const run = (script: string) => cli("run", "--volume", "e2e-data:/data", busybox, "--", "sh", "-c", script);
  expect((await run("echo kept > /data/file; ls -A /data")).stdout).toBe("file");
  expect((await run("cat /data/file")).stdout).toBe("kept");
  const listed = JSON.parse((await cli("volume", "ls", "--json")).stdout);
  expect(listed).toContainEqual(expect.objectContaining({ name: "e2e-data", sizeMiB: 64, state: "clean" }));
  expect((await cli("volume", "ls")).stdout).toMatch(/NAME +STATE[\s\S]*e2e-data +clean .* 64 MiB/);
  expect(JSON.parse((await cli("volume", "inspect", "e2e-data")).stdout)).toMatchObject([{ name: "e2e-data" }]);
  expect(await cli("volume", "rm", "e2e-data")).toMatchObject({ stdout: "e2e-data", exitCode: 0 });
  expect(await cli("volume", "rm", "e2e-data")).toMatchObject({ exitCode: 2 });
});

test("a VM in the background has its folder and volume, which nobody else can have meanwhile", async () => {
  const src = join(folder.path, "src");
  const storage = ["-v", `${src}:/mounted`, "-v", "e2e-data:/data"];
  const script = "cp /mounted/file /data/; cat /data/file > /mounted/through; while sleep 1; do :; done";
  const started = await cli("run", "-d", "--name", "e2e-mounted", ...storage, busybox, "--", "sh", "-c", script);
  expect(started).toMatchObject({ exitCode: 0 });
  const through = () => cli("exec", "e2e-mounted", "cat", "/mounted/through").then(({ stdout }) => stdout);
  await expect.poll(through).toBe("of the host");
  const { exitCode, stderr } = await cli("run", "-v", "e2e-data:/data", busybox, "--", "true");
  expect([exitCode, stderr]).toEqual([2, expect.stringMatching(/e2e-data is in use by process \d+/)]);
  expect((await cli("stop", "e2e-mounted")).exitCode).toBe(0);
  expect((await cli("run", "-v", "e2e-data:/data:ro", busybox, "--", "cat", "/data/file")).stdout).toBe("of the host");
});
