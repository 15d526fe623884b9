import {
  chmodSync,
  closeSync,
  cpSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa, execaSync } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

const CLI = "dist/cli/main.js";
const NOBODY = ["--reuid=65534", "--regid=65534", "--clear-groups"];
let folder: string;
let bundle: string;

const at = (name: string) => join(folder, name);
const cli = (home: string | undefined, ...args: string[]) =>
  execa("node", [CLI, ...args], { reject: false, stdin: "ignore", env: home ? { SUPERMACHINE_HOME: at(home) } : {} });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-bundle-"));
  chmodSync(folder, 0o755);
  const image = `oci-archive:${(await busyboxImage()).archive}`;
  const made = await cli(undefined, "bundle", "--into", at("made"), "--image", image);
  expect(made.stdout).toBe(at("made"));
  expect(made.stderr).toContain("it runs with QEMU 7.");
  bundle = at("moved");
  renameSync(at("made"), bundle);
  for (const each of readdirSync(bundle, { recursive: true, encoding: "utf8" }))
    chmodSync(join(bundle, each), statSync(join(bundle, each)).mode & ~0o222);
  chmodSync(bundle, 0o555);
});

afterAll(async () => {
  expect(await remainingWorkers()).toEqual([]);
  for (const each of ["", "kernel", "layers", "template"]) chmodSync(join(bundle, each), 0o755);
  rmSync(folder, { recursive: true, force: true });
});

test("a bundle has all there is to a snapshot, and takes no space for memory that is empty", () => {
  expect(readdirSync(bundle).sort()).toEqual([
    "bundle.json",
    "device.state",
    "kernel",
    "layers",
    "memory.delta",
    "metadata.json",
    "template",
  ]);
  const { size, blocks } = statSync(join(bundle, "template/ram.img"));
  expect(blocks * 512).toBeLessThan(0.6 * size);
});

test("moved and read-only it runs in an empty home, and again, in the foreground and in the background", async () => {
  for (const text of ["first", "second"]) {
    expect(await cli("home", "run", bundle, "--", "echo", text)).toMatchObject({
      stdout: text,
      stderr: "",
      exitCode: 0,
    });
  }
  expect(readdirSync(join(at("home"), "templates"))).toHaveLength(1);
  expect((await cli("home", "run", "-d", "--rm", "--name", "b", bundle, "--", "sleep", "1000")).stdout).toBe("b");
  expect((await cli("home", "exec", "b", "--", "hostname")).stdout).toBe("supermachine");
  await cli("home", "stop", "--time", "0", "b");
});

const readable = execaSync("setpriv", [...NOBODY, "test", "-r", CLI], { reject: false }).exitCode === 0;
test.runIf(readable)("another user runs it, who may not write to it", async () => {
  const place = mkdtempSync(at("nobody-"));
  const own = join(place, "home");
  chmodSync(place, 0o777);
  const command = ["env", `SUPERMACHINE_HOME=${own}`, process.execPath, CLI, "run", bundle, "--", "echo", "hello"];
  const { stdout, stderr } = await execa("setpriv", [...NOBODY, ...command], { reject: false });
  expect({ stdout, stderr }).toEqual({ stdout: "hello", stderr: "" });
  expect(statSync(own).uid).toBe(65534);
});

test("one bit of its memory that changed is found before it is run, and by doctor", async () => {
  const damaged = at("damaged");
  cpSync(bundle, damaged, { recursive: true });
  const ram = join(damaged, "template/ram.img");
  chmodSync(ram, 0o644);
  const file = openSync(ram, "r+");
  writeSync(file, "x", 200 * 2 ** 20);
  closeSync(file);
  const run = await cli("other", "run", damaged, "--", "true");
  expect(run).toMatchObject({ exitCode: 1, stdout: "" });
  expect(run.stderr).toMatch(/template\/ram.img has another content than was written\n +Copy the whole folder again/);
  const checked = await cli("other", "doctor", "--bundle", damaged);
  expect(checked.exitCode).toBe(1);
  expect(checked.stdout).toContain("template/ram.img has another content than was written");
  expect(JSON.parse((await cli("other", "doctor", "--bundle", bundle, "--json")).stdout).problems).toEqual([]);
});

test("what cannot be bundled, and where it cannot go, is said", async () => {
  expect(await cli("other", "bundle", "--into", bundle, "--image", bundle)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("is there already"),
  });
  expect(await cli("other", "bundle", "--into", at("x"))).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("there is no snapshot"),
  });
  expect(await cli("other", "bundle", "--into", at("x"), "--image", bundle)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("is a bundle already"),
  });
  expect(await cli("other", "run", at("missing"))).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("there is no snapshot in"),
  });
});
