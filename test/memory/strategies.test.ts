import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { VmError } from "../../src/errors.js";
import { clone, Delta, type MemoryStrategy, procfs } from "../../src/memory/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { startMapper } from "./mapper.js";
import { contentOf, makeTemplate } from "./template.js";

const PAGE = 4096;
const TOTAL = 600;
const FILLED = [0, 1, 5, 300, 599];

let folder: ReturnType<typeof temporaryFolder>;
let template: string;
beforeEach(() => {
  folder = temporaryFolder();
  template = makeTemplate(join(folder.path, "ram.img"), TOTAL, FILLED);
});
afterEach(() => folder[Symbol.dispose]());

describe.skipIf(process.platform !== "linux").each(["procfs", "clone"])("memory by %s", (name) => {
  const strategy = (): MemoryStrategy => (name === "procfs" ? procfs : clone(join(folder.path, "run")));
  const start = async (from = template) => {
    const ram = await strategy().open(from);
    return { ram, process: await startMapper(ram.file.path, ram.file.shared) };
  };

  test("a process sees the template's pages", async () => {
    const { ram, process } = await start();
    expect([await process.read(1), await process.read(2)]).toEqual([
      [1, 1],
      [0, 0],
    ]);
    await process[Symbol.asyncDispose]();
    await ram[Symbol.asyncDispose]();
  });

  test("exactly the pages that a process changed are captured, and the template stays as it was", async () => {
    const before = readFileSync(template);
    const { ram, process } = await start();
    for (const page of [0, 2, 3, 4, 300, TOTAL - 1]) await process.fill(page, 0xa0 + (page % 16));
    for (const page of [5, 7]) await process.read(page);
    const delta = await ram.capture(process.pid);
    expect(contentOf(delta)).toEqual({ 0: 0xa0, 2: 0xa2, 3: 0xa3, 4: 0xa4, 300: 0xac, 599: 0xa7 });
    expect(delta.ramBytes).toBe(TOTAL * PAGE);
    expect(delta.runs).toHaveLength(4);
    expect(readFileSync(template).equals(before)).toBe(true);
    await process[Symbol.asyncDispose]();
    await ram[Symbol.asyncDispose]();
  });

  test("a process that changed nothing has an empty delta", async () => {
    const { ram, process } = await start();
    await process.read(5);
    expect(await ram.capture(process.pid)).toMatchObject({ runs: [], pages: Buffer.alloc(0) });
    await process[Symbol.asyncDispose]();
    await ram[Symbol.asyncDispose]();
  });

  test("a captured delta put into a fresh process changes just those pages, and is captured again in full", async () => {
    const first = await start();
    for (const page of [1, 2, 400]) await first.process.fill(page, page % 256);
    await first.process.fill(0, 77);
    const path = join(folder.path, "memory.delta");
    await (await first.ram.capture(first.process.pid)).write(path);

    const second = await start();
    await second.ram.apply(second.process.pid, await Delta.read(path));
    const pages = await Promise.all([0, 1, 2, 400, 5, 599].map((page) => second.process.read(page)));
    expect(pages.map(([value]) => value)).toEqual([77, 1, 2, 144, 5, 87]);
    await second.process.fill(9, 9);
    const again = contentOf(await second.ram.capture(second.process.pid));
    expect(again).toMatchObject({ 0: 77, 2: 2, 9: 9, 400: 144 });
    for (const { ram, process } of [first, second]) {
      await process[Symbol.asyncDispose]();
      await ram[Symbol.asyncDispose]();
    }
  });

  test("what one process writes no other sees", async () => {
    const [one, two] = [await start(), await start()];
    await one.process.fill(1, 0xff);
    expect(await two.process.read(1)).toEqual([1, 1]);
    expect((await two.ram.capture(two.process.pid)).runs).toEqual([]);
    for (const { ram, process } of [one, two]) {
      await process[Symbol.asyncDispose]();
      await ram[Symbol.asyncDispose]();
    }
  });

  test("a delta for another size of RAM is refused and changes nothing", async () => {
    const { ram, process } = await start();
    const delta = new Delta((TOTAL + 1) * PAGE, [{ first: 0, count: 1 }], Buffer.alloc(PAGE, 9));
    await expect(ram.apply(process.pid, delta)).rejects.toThrow(VmError);
    await expect(ram.apply(process.pid, delta)).rejects.toThrow(/2461696 bytes of RAM does not fit .* 2457600/);
    expect(await process.read(0)).toEqual([0, 0]);
    await process[Symbol.asyncDispose]();
    await ram[Symbol.asyncDispose]();
  });

  test("works in a folder whose name has spaces and other letters", async () => {
    const odd = join(folder.path, "Überall  mit Leer\tzeichen\nund \\ Umbruch");
    mkdirSync(odd);
    const { ram, process } = await start(makeTemplate(join(odd, "ram.img"), 10, [1]));
    await process.fill(3, 33);
    expect(contentOf(await ram.capture(process.pid))).toEqual({ 3: 33 });
    await process[Symbol.asyncDispose]();
    await ram[Symbol.asyncDispose]();
  });

  test("leaves nothing but the template behind", async () => {
    const { ram, process } = await start();
    await process[Symbol.asyncDispose]();
    await ram[Symbol.asyncDispose]();
    const files = (readdirSync(folder.path, { recursive: true }) as string[]).filter((each) => each !== "run");
    expect(files).toEqual(["ram.img"]);
  });
});
