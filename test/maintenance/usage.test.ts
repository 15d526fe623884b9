import { truncateSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { tagSnapshot } from "../../src/image/index.js";
import { diskUsage } from "../../src/maintenance/index.js";
import { StoreFixture } from "./store-fixture.js";

let store: StoreFixture;
beforeEach(() => {
  store = new StoreFixture();
});
afterEach(() => store[Symbol.dispose]());

describe("what images take on disk", () => {
  test("tells what is their own, what their layers take, and what they share", async () => {
    const [base, one, two] = [
      await store.layer("base", 500_000),
      await store.layer("one", 40_000),
      await store.layer("2"),
    ];
    await store.snapshot("first", [base, one]);
    await store.snapshot("second", [base, two, base]);
    const { images, store: totals } = await diskUsage();
    const [first, second] = images;
    expect(first?.disk.sharedLayers).toBe(second?.disk.sharedLayers);
    expect(first?.disk.sharedLayers).toBeGreaterThanOrEqual(500_000);
    expect(first?.disk.layers).toBeGreaterThanOrEqual(540_000);
    expect(first?.disk.layers).toBeLessThan(600_000);
    expect(second?.disk.layers).toBeLessThan(540_000);
    for (const { disk } of images) {
      // A delta of one page with its header, the device state and the metadata.
      expect(disk.own).toBeGreaterThanOrEqual(8192);
      expect(disk.own).toBeLessThan(64 * 1024);
      expect(disk.unique).toBe(disk.own + disk.layers - disk.sharedLayers);
    }
    // What two share is there once.
    const expected = images.reduce((sum, { disk }) => sum + disk.unique, 0) + (first?.disk.sharedLayers ?? 0);
    expect(totals.snapshots + totals.layers).toBe(expected);
  });

  test("counts what two names share once, and frees it with the last of them", async () => {
    const layer = await store.layer("base");
    const one = await store.snapshot("one", [layer]);
    const before = (await diskUsage()).store.snapshots;
    await tagSnapshot(one, "two", {});
    const { images, store: totals } = await diskUsage();
    const [first, second] = images;
    expect(second?.disk.own).toBe(first?.disk.own);
    expect(first?.disk.unique).toBeLessThan(first?.disk.own ?? 0);
    expect(totals.snapshots - before).toBe(second?.disk.unique);
  });

  test("does not count holes", async () => {
    const ram = store.put("templates/key/ram.img", "x".repeat(5000));
    truncateSync(ram, 2 ** 30);
    const { store: totals } = await diskUsage();
    expect(totals.templates).toBeGreaterThanOrEqual(8192);
    expect(totals.templates).toBeLessThan(2 ** 20);
    expect(totals.total).toBe(totals.templates);
  });

  test("is nothing where there is nothing, and leaves out layers that are missing", async () => {
    expect((await diskUsage()).store.total).toBe(0);
    await store.snapshot("broken", [{ diffId: "sha256:a", path: "/missing" }]);
    expect((await diskUsage()).images[0]?.disk).toMatchObject({ layers: 0, sharedLayers: 0 });
  });
});
