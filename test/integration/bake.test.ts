import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  type BakeOptions,
  Image,
  ImageError,
  listImages,
  NoSpaceError,
  type ProgressEvent,
  removeImage,
} from "../../src/index.js";
import { busyboxImage, packedAs } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { type TestImage, writeLayout } from "../support/layout-builder.js";
import { litter, remainingWorkers } from "../support/leftovers.js";
import { TarBuilder } from "../support/tar-builder.js";
import { freshHome } from "../support/test-home.js";

let reference: string;
let current: ReturnType<typeof freshHome>;

beforeAll(async () => {
  reference = `oci-archive:${(await busyboxImage()).archive}`;
  // The template that all of these share.
  await Image.fromOci(reference);
});
beforeEach(() => {
  current = freshHome();
});
afterEach(async () => {
  expect(await remainingWorkers()).toEqual([]);
  current[Symbol.dispose]();
});

async function answer(source: string, options: BakeOptions = {}): Promise<string> {
  await using vm = await (await Image.fromOci(source, options)).start();
  return (await vm.run(["sh", "-c", "echo $((6 * 7))"])).stdout;
}

function bakeInChild() {
  const child = spawn(process.execPath, ["--import", "tsx", "test/support/bake-child.ts", reference], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  return { child, output: text(child.stdout), ended: once(child, "exit") };
}

describe("an image is baked once", () => {
  test("the second time boots nothing, converts nothing and bakes nothing", async () => {
    await answer(reference);
    const events: ProgressEvent[] = [];
    expect(await answer(reference, { onProgress: (event) => events.push(event) })).toBe("42\n");
    expect(events).toEqual([]);
  });

  test("by one of two processes that want it at the same time", async () => {
    const children = [bakeInChild(), bakeInChild()];
    const outputs = await Promise.all(children.map(({ output }) => output));
    for (const output of outputs) expect(output).toContain("answer 42");
    const all = outputs.join("");
    expect(all.match(/layer finished/g)).toHaveLength(1);
    expect(all.match(/bake finished/g)).toHaveLength(1);
    expect(litter()).toEqual([]);
  });

  test("and again when the options or the image under the name change", async () => {
    const [one, two] = [await Image.fromOci(reference), await Image.fromOci(reference, { hostname: "other" })];
    expect(two.snapshotPath).not.toBe(one.snapshotPath);
    const named = await Image.ensureBaked("app", reference);
    const same = await Image.ensureBaked("app", reference, { env: { A: "b" } });
    expect(same.snapshotPath).toBe(named.snapshotPath);
    expect(same.config.env).toMatchObject({ A: "b" });
    expect((await listImages()).map(({ name }) => name)).toContain("app");
    await removeImage("app");
    expect((await listImages()).map(({ name }) => name)).not.toContain("app");
  });
});

test.each([
  ["layer started", 0],
  ["bake started", 0],
  ["bake started", 80],
  ["bake started", 250],
  ["bake finished", 0],
  ["baked", 0],
])('kill -9 of a process that has said "%s" %i ms ago leaves no QEMU, and the next run works', async (word, ms) => {
  const { child, ended } = bakeInChild();
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  await expect.poll(() => said, { interval: 5 }).toContain(`${word}\n`);
  await sleep(ms);
  process.kill(-child.pid!, "SIGKILL");
  await ended;
  expect(await remainingWorkers()).toEqual([]);
  expect(await answer(reference)).toBe("42\n");
  expect(litter()).toEqual([]);
});

test.each(["oci", "oci-archive", "docker-archive", "umoci", "buildah"] as const)(
  "an image as %s packs it runs",
  async (form) => {
    expect(await answer(await packedAs(form, await busyboxImage()))).toBe("42\n");
  },
);

describe("bad images are refused and leave the stores usable", () => {
  const tar = (name = "file") => new TarBuilder().file(name, "content").finish();
  const cases: [string, TestImage, RegExp][] = [
    ["a wrong diff id", { layers: [{ bytes: tar(), diffId: `sha256:${"0".repeat(64)}` }] }, /sha256:0000|diff/],
    ["a wrong digest", { layers: [{ bytes: tar(), descriptor: { digest: `sha256:${"1".repeat(64)}` } }] }, /1111/],
    ["a truncated tar", { layers: [tar().subarray(0, 515)] }, /truncated|end/i],
    [
      "an unknown media type",
      { layers: [{ bytes: tar(), mediaType: "application/x-unknown" }] },
      /application\/x-unknown/,
    ],
    ["another architecture", { config: { architecture: "s390x" } }, /s390x/],
    ["a path that climbs out", { layers: [tar("../../escaped")] }, /\.\./],
  ];

  test.each(cases)("%s", async (_what, image, message) => {
    using folder = temporaryFolder();
    writeLayout(folder.path, image);
    const error = await Image.fromOci(`oci-layout:${folder.path}`).catch((each: unknown) => each);
    expect(error).toBeInstanceOf(ImageError);
    expect((error as Error).message).toMatch(message);
    expect(await answer(reference)).toBe("42\n");
    expect(litter()).toEqual([]);
  });

  test("10,000 empty layers are no layers at all", async () => {
    using folder = temporaryFolder();
    const empty = new TarBuilder().finish();
    writeLayout(folder.path, { layers: Array.from({ length: 10_000 }, () => empty) });
    const image = await Image.fromOci(`oci-layout:${folder.path}`);
    await using vm = await image.start();
    expect(await vm.run(["anything"])).toMatchObject({ exitCode: 127 });
  });

  test("a hundred layers stack", async () => {
    using folder = temporaryFolder();
    const layers = Array.from({ length: 100 }, (_, i) => new TarBuilder().file(`layer-${i}`, String(i)).finish());
    writeLayout(folder.path, { layers });
    await using vm = await (await Image.fromOci(`oci-layout:${folder.path}`)).start();
    expect(await vm.readFile("/layer-0", "utf8")).toBe("0");
    expect(await vm.readFile("/layer-99", "utf8")).toBe("99");
  });
});

describe("a full disk is an error that says so, and the next run works", () => {
  const withTinyDisk = async (name: string, size: string, body: () => Promise<void>) => {
    const disk = join(current.path, `${name}-disk`);
    mkdirSync(disk);
    await execa("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", disk]);
    try {
      symlinkSync(disk, join(current.path, name));
      await body();
    } finally {
      await execa("umount", ["--lazy", disk]);
      await execa("rm", [join(current.path, name)]);
    }
  };

  /** The error names the place and what to do, and nothing half-written takes the little space there is. */
  const expectNoSpace = async (name: string) => {
    const error = await Image.fromOci(reference).catch((each: unknown) => each);
    expect(error).toBeInstanceOf(NoSpaceError);
    expect((error as Error).message).toMatch(new RegExp(`no space left for .*/${name}/.*\n.*supermachine prune`));
    expect(readdirSync(join(current.path, name))).toEqual([]);
    expect(litter()).toEqual([]);
  };

  test.each([
    ["layers", "200k"],
    ["snapshots", "1m"],
  ])("of %s", async (name, size) => {
    await withTinyDisk(name, size, async () => {
      await expectNoSpace(name);
    });
    expect(await answer(reference)).toBe("42\n");
    expect(litter()).toEqual([]);
  });

  test("of templates", async () => {
    await execa("rm", [join(current.path, "templates")]);
    await withTinyDisk("templates", "40m", async () => {
      await expectNoSpace("templates");
    });
    expect(litter()).toEqual([]);
  });
});
