import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { Image, type Vm } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { litter, remainingWorkers } from "../support/leftovers.js";

let folder: ReturnType<typeof temporaryFolder>;
let vm: Vm;
const at = (...names: string[]) => join(folder.path, ...names);
const sh = async (script: string) => (await vm.run(["sh", "-c", script], { timeoutMs: 600_000 })).stdout;

beforeEach(async () => {
  folder = temporaryFolder();
  const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`);
  vm = await image.start({ volumes: [{ file: at("volume.img"), guest: "/volume", sizeMiB: 8192 }] });
});
afterEach(async () => {
  await vm.stop();
  folder[Symbol.dispose]();
});
afterAll(async () => {
  expect(await remainingWorkers()).toEqual([]);
  expect(litter()).toEqual([]);
});

/** What this process came to need meanwhile, in bytes. */
async function growth(work: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage().rss;
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, 50);
  await work().finally(() => clearInterval(watch));
  return most - before;
}

test("100,000 small files go in and come out", async () => {
  for (let i = 0; i < 1_000; i++) {
    mkdirSync(at("tree", String(i)), { recursive: true });
    for (let j = 0; j < 100; j++) writeFileSync(at("tree", String(i), String(j)), `${i} ${j}\n`.repeat(1 + (j % 40)));
  }
  const grown = await growth(() => vm.copyIn(at("tree"), "/volume/tree"));
  expect(grown).toBeLessThan(512 * 2 ** 20);
  expect(await sh("find /volume/tree -type f | wc -l")).toBe("100000\n");
  expect(await vm.copyOut("/volume/tree", at("back"))).toMatchObject({ files: 101_000 });
  execFileSync("diff", ["-r", at("tree"), at("back")]);
});

test("a file of 4 GiB goes into a guest of 256 MiB and comes out", async () => {
  execFileSync("sh", ["-c", 'head -c 4294967297 /dev/urandom > "$0"', at("large")]);
  expect(await growth(() => vm.copyIn(at("large"), "/volume/large"))).toBeLessThan(256 * 2 ** 20);
  expect(await growth(() => vm.copyOut("/volume/large", at("back")))).toBeLessThan(256 * 2 ** 20);
  expect(statSync(at("back")).size).toBe(4_294_967_297);
  execFileSync("cmp", [at("large"), at("back")]);
  rmSync(at("back"));
});
