import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { VmError } from "../../src/errors.js";
import { procfs } from "../../src/memory/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { startMapper } from "./mapper.js";
import { contentOf, makeTemplate } from "./template.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder[Symbol.dispose]());
const image = (pages: number, filled: number[] = []) => makeTemplate(join(folder.path, "ram.img"), pages, filled);

describe.skipIf(process.platform !== "linux")("the memory of a process by procfs", () => {
  test("is the template itself, not shared", async () => {
    const template = image(10);
    expect((await procfs.open(template)).file).toEqual({ path: template, shared: false });
  });

  test("is looked through to its end, however large it is", async () => {
    // More than 256 MiB: the kernel is asked in several steps. The file is sparse.
    const template = image(65_536 + 3000);
    const ram = await procfs.open(template);
    await using process = await startMapper(template, false);
    for (const page of [65_535, 65_536, 68_535]) await process.fill(page, page % 256);
    const delta = await ram.capture(process.pid);
    expect(contentOf(delta)).toEqual({ 65535: 255, 65536: 0, 68535: 183 });
    expect(delta.runs[0]).toEqual({ first: 65_535, count: 2 });
  });

  test("has the pages that were written with what was there before", async () => {
    const template = image(10, [2]);
    const ram = await procfs.open(template);
    await using process = await startMapper(template, false);
    await process.touch(2);
    expect(contentOf(await ram.capture(process.pid))).toEqual({ 2: 2 });
  });

  test("is found as a whole when the kernel lists it in parts", async () => {
    const template = image(100);
    const ram = await procfs.open(template);
    await using process = await startMapper(template, false);
    for (const page of [1, 50, 98]) await process.fill(page, page);
    await process.protect(40, 20);
    const delta = await ram.capture(process.pid);
    expect(delta.ramBytes).toBe(100 * 4096);
    expect(contentOf(delta)).toEqual({ 1: 1, 50: 50, 98: 98 });
  });

  test("is found when the template was moved meanwhile, as it is when it comes into place", async () => {
    const partial = join(folder.path, "template.partial");
    mkdirSync(partial);
    const process = await startMapper(makeTemplate(join(partial, "ram.img"), 10, []), false);
    renameSync(partial, join(folder.path, "template"));
    const ram = await procfs.open(join(folder.path, "template/ram.img"));
    await process.fill(4, 4);
    expect(contentOf(await ram.capture(process.pid))).toEqual({ 4: 4 });
    await process[Symbol.asyncDispose]();
  });

  test("is an error where there is none: another file, or a template that was replaced", async () => {
    const template = image(10);
    const ram = await procfs.open(template);
    await using process = await startMapper(template, false);
    renameSync(template, join(folder.path, "old"));
    image(10);
    await expect(ram.capture(process.pid)).rejects.toThrow(VmError);
    await expect(ram.capture(process.pid)).rejects.toThrow(/does not map/);
  });

  test("is an error when the process has ended", async () => {
    const template = image(10);
    const ram = await procfs.open(template);
    const process = await startMapper(template, false);
    await process[Symbol.asyncDispose]();
    await expect(ram.capture(process.pid)).rejects.toThrow(VmError);
    await expect(ram.capture(process.pid)).rejects.toThrow(/has ended/);
  });
});
