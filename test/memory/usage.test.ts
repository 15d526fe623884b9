import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { VmError } from "../../src/errors.js";
import { readMemoryUsage } from "../../src/memory/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { startMapper } from "./mapper.js";
import { makeTemplate } from "./template.js";

const PAGE = 4096;
const TOTAL = 4000;

let folder: ReturnType<typeof temporaryFolder>;
let path: string;
beforeEach(() => {
  folder = temporaryFolder();
  const everyPage = Array.from({ length: TOTAL }, (_, page) => page);
  path = makeTemplate(join(folder.path, "ram.img"), TOTAL, everyPage);
});
afterEach(() => folder[Symbol.dispose]());

describe.skipIf(process.platform !== "linux")("the memory of a process", () => {
  test("tells own pages from those of the template, also when nobody else has mapped it", async () => {
    await using mapper = await startMapper(path, false);
    for (let page = 0; page < 10; page++) await mapper.fill(page * 100, 1);
    for (let page = 0; page < 100; page++) await mapper.read(page * 32 + 5);
    const usage = await readMemoryUsage(mapper.pid, { path, shared: false });
    expect(usage).toMatchObject({ guestBytes: TOTAL * PAGE, guestPrivateBytes: 10 * PAGE, sharesTemplate: true });
    expect(usage.templateBytes).toBeGreaterThanOrEqual(100 * PAGE);
    expect(usage.privateBytes).toBeGreaterThan(usage.guestPrivateBytes);
    expect(usage.privateBytes).toBeLessThan(usage.guestPrivateBytes + 16 * 2 ** 20);
  });

  test("takes less of what it shares the more share it", async () => {
    await using one = await startMapper(path, false);
    for (let page = 0; page < TOTAL; page += 4) await one.read(page);
    const alone = await readMemoryUsage(one.pid, { path, shared: false });
    await using two = await startMapper(path, false);
    for (let page = 0; page < TOTAL; page += 4) await two.read(page);
    const together = await readMemoryUsage(one.pid, { path, shared: false });
    expect(together.templateBytes).toBe(alone.templateBytes);
    expect(together.proportionalBytes).toBeLessThan(alone.proportionalBytes - alone.templateBytes / 3);
  });

  test("says when the file is a copy of its own", async () => {
    await using mapper = await startMapper(path, true);
    await mapper.fill(7, 1);
    const usage = await readMemoryUsage(mapper.pid, { path, shared: true });
    expect(usage).toMatchObject({ sharesTemplate: false, templateBytes: 0 });
    expect(usage.guestPrivateBytes).toBeGreaterThanOrEqual(PAGE);
  });

  test("of one that has ended cannot be read", async () => {
    const mapper = await startMapper(path, false);
    await mapper[Symbol.asyncDispose]();
    await expect(readMemoryUsage(mapper.pid, { path, shared: false })).rejects.toThrow(VmError);
  });
});
