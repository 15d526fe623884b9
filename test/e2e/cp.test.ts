import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { home } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { remainingWorkers } from "../support/leftovers.js";

const CLI = "dist/cli/main.js";
const cli = (args: string[], options: { input?: Buffer; cwd?: string } = {}) =>
  execa("node", [join(process.cwd(), CLI), ...args], {
    ...{ reject: false, encoding: "buffer", stripFinalNewline: false },
    ...options,
  } as const);
const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();
const inside = async (script: string) => text((await cli(["exec", "web", "--", "sh", "-c", script])).stdout);

beforeAll(async () => {
  const image = `oci-archive:${(await busyboxImage()).archive}`;
  expect((await cli(["run", "-d", "--name", "web", image, "--", "sleep", "1000"])).exitCode).toBe(0);
});
afterAll(async () => {
  await cli(["rm", "--force", "web"]);
  expect(await remainingWorkers()).toEqual([]);
});

test("files and archives go into a VM in the background and come out of it", async () => {
  using folder = temporaryFolder();
  const at = (...names: string[]) => join(folder.path, ...names);
  mkdirSync(at("project"));
  writeFileSync(at("project", "file"), "text\n");
  execFileSync("chown", ["-R", "1000:1000", at("project")]);
  // Relative paths are those of the caller, not of the supervisor.
  expect((await cli(["cp", "project", "web:/src"], { cwd: folder.path })).exitCode).toBe(0);
  expect((await cli(["cp", "-a", "project/.", "web:/kept"], { cwd: folder.path })).exitCode).toBe(0);
  expect(await inside("stat -c '%n %u' /src /src/file /kept/file")).toBe("/src 0\n/src/file 0\n/kept/file 1000\n");

  await inside("mkdir /made && echo made > /made/file && ln -s /etc/passwd /made/out");
  const out = await cli(["cp", "web:/made", "."], { cwd: folder.path });
  expect([out.exitCode, text(out.stderr)]).toEqual([0, "supermachine: left out out: outside link\n"]);
  expect(readdirSync(at("made"))).toEqual(["file"]);

  const archive = execFileSync("tar", ["-C", at("project"), "-c", "."]);
  expect((await cli(["cp", "-", "web:/made"], { input: archive })).exitCode).toBe(0);
  const { stdout } = await cli(["cp", "web:/made", "-"]);
  const listing = execFileSync("tar", ["-t"], { input: stdout, encoding: "utf8" });
  expect(listing.split("\n").sort()).toEqual(["", "made/", "made/file", "made/out"]);
  expect(await inside("cat /made/file")).toBe("text\n");
  expect(readdirSync(home().run).filter((name) => name.includes(".copy"))).toEqual([]);
});

test("what cannot be copied is said, and nothing is made", async () => {
  using folder = temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  symlinkSync("nowhere", at("link"));
  const failing = async (args: string[], input?: Buffer) => {
    const { exitCode, stderr } = await cli(["cp", ...args], { cwd: folder.path, ...(input && { input }) });
    return [exitCode, text(stderr)] as const;
  };
  expect(await failing(["a", "b"])).toEqual([2, expect.stringContaining("one of the two places is in a VM")]);
  expect(await failing(["nothing", "web:/tmp"])).toEqual([1, expect.stringContaining("nothing cannot be copied")]);
  expect(await failing(["web:/nothing", "x"])).toEqual([1, expect.stringContaining("/nothing")]);
  expect(await failing(["link", "other:/tmp"])).toEqual([2, expect.stringContaining("no VM")]);
  expect(await failing(["-", "web:/tmp"], Buffer.from("no archive at all".repeat(100)))).toEqual([
    1,
    expect.stringContaining("no tar archive"),
  ]);
  expect(readdirSync(folder.path)).toEqual(["link"]);
});
