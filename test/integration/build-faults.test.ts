import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type BuildEvent, type ExportOptions, exportBuild, home, verifyStore } from "../../src/index.js";
import type { BuildOrder } from "../support/build-child.js";
import { freshHome } from "../support/test-home.js";

/** Needs no machine: what is tested is what is left of a build that ended in the middle. */
const DOCKERFILE = "FROM scratch\nCOPY a /a\nCOPY b /b\nCOPY c /c\n";

let current: ReturnType<typeof freshHome>;
let context: string;

beforeEach(() => {
  current = freshHome([]);
  context = mkdtempSync(join(tmpdir(), "supermachine-faults-"));
  for (const name of ["a", "b", "c"]) writeFileSync(join(context, name), `${name}\n`.repeat(30_000));
});
afterEach(() => {
  rmSync(context, { recursive: true });
  rmSync(`${context}.tar`, { force: true });
  current[Symbol.dispose]();
});

/** Builds here, and gives how the steps ended. */
async function build(options: Partial<ExportOptions> = {}): Promise<string[]> {
  const states: string[] = [];
  const onBuild = (event: BuildEvent) => {
    if (event.kind === "step" && event.state !== "started") states.push(event.state);
  };
  const outputs = [{ type: "tar", dest: `${context}.tar` } as const];
  await exportBuild({ context, dockerfile: DOCKERFILE, outputs, onBuild, ...options });
  return states;
}

/** What is half-made in a folder of the store. Empty files of locks stay until somebody prunes. */
async function unfinished(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.filter((name) => name.endsWith(".partial"));
}

test.each<[NonNullable<BuildOrder["crash"]>, string]>([
  [{ pattern: "layers/sha256-[^/]*erofs$", nth: 2, when: "before" }, "finished"],
  [{ pattern: "layers/sha256-[^/]*erofs$", nth: 2, when: "after" }, "finished"],
  [{ pattern: "steps/[^/]*json$", nth: 2, when: "before" }, "finished"],
  [{ pattern: "steps/[^/]*json$", nth: 2, when: "after" }, "cached"],
])("the power is cut: %j; the next build goes on from the last layer that is whole", async (crash, second) => {
  const order: BuildOrder = { options: { context, dockerfile: DOCKERFILE }, crash };
  const child = fork(join(import.meta.dirname, "../support/build-child.ts"), [JSON.stringify(order)], {
    execArgv: ["--import", "tsx"],
    stdio: "inherit",
  });
  expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
  expect(await build()).toEqual(["cached", second, "finished"]);
  expect(await build()).toEqual(["cached", "cached", "cached"]);
  expect((await verifyStore()).problems).toEqual([]);
  expect(await unfinished(home().layers)).toEqual([]);
  const { stdout } = await execa("tar", ["-xOf", `${context}.tar`, "b"]);
  expect(stdout).toBe("b\n".repeat(30_000).trimEnd());
});

describe.skipIf(process.getuid?.() !== 0)("without space", () => {
  let small: string;
  beforeEach(async () => {
    small = mkdtempSync(join(tmpdir(), "supermachine-small-"));
    await execa("mount", ["-t", "tmpfs", "-o", "size=1m", "supermachine-test", small]);
    vi.stubEnv("SUPERMACHINE_HOME", small);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await execa("umount", ["--lazy", small]);
    rmSync(small, { recursive: true });
  });

  test("a build says so, leaves nothing half-made, and goes on where it was once there is some", async () => {
    writeFileSync(join(context, "b"), Buffer.alloc(2 * 1024 * 1024, "b"));
    await expect(build()).rejects.toThrow("no space left");
    expect(await unfinished(home().layers)).toEqual([]);
    expect(await readdir(home().layers)).toHaveLength(1);
    await execa("mount", ["-o", "remount,size=16m", small]);
    expect(await build()).toEqual(["cached", "finished", "finished"]);
  });
});

test("twenty instructions take at most half as much again as what they change", async () => {
  const bytes = 100_000;
  const lines = Array.from({ length: 20 }, (_, i) => {
    writeFileSync(join(context, `file-${i}`), Buffer.alloc(bytes, `${i} `));
    return `COPY file-${i} /folder/`;
  });
  const outputs = [{ type: "oci", dest: `${context}.tar` } as const];
  await build({ dockerfile: ["FROM scratch", ...lines].join("\n"), outputs });
  const { stdout } = await execa("du", ["-sB1", home().layers, join(home().builds, "steps")]);
  const taken = stdout.split("\n").reduce((sum, line) => sum + Number.parseInt(line, 10), 0);
  expect(await readdir(home().layers)).toHaveLength(20);
  expect(taken).toBeLessThan(1.5 * 20 * bytes);
});
