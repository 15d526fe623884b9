import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { execa } from "execa";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  CacheInvalidError,
  CacheMissError,
  Image,
  ImageNotFoundError,
  NoSpaceError,
  UsageError,
} from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { litter, remainingWorkers } from "../support/leftovers.js";

let reference: string;
let folder: ReturnType<typeof temporaryFolder>;
const place = (name: string) => join(folder.path, name);

beforeAll(async () => {
  reference = `oci-archive:${(await busyboxImage()).archive}`;
});
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  folder[Symbol.dispose]();
  vi.unstubAllEnvs();
  expect(await remainingWorkers()).toEqual([]);
  expect(litter()).toEqual([]);
});

describe.each(["procfs", "clone"])("a snapshot of a running VM, memory by %s", (strategy) => {
  beforeEach(() => vi.stubEnv("SUPERMACHINE_MEMORY", strategy));

  test("holds files and processes, and the VM goes on undisturbed", async () => {
    await using vm = await (await Image.fromOci(reference)).start();
    await vm.writeFile("/root/file", "before");
    await vm.run(["sh", "-c", "while sleep 0.05; do echo tick >> /tmp/ticks; done >/dev/null 2>&1 &"]);
    const streaming = vm.run(["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.1; done"]);
    const snapshot = await vm.snapshot(place("one"));
    await vm.writeFile("/root/file", "after");
    expect((await streaming).stdout).toBe("1\n2\n3\n4\n5\n6\n7\n8\n9\n");

    await using clone = await snapshot.start();
    expect(await clone.readFile("/root/file", "utf8")).toBe("before");
    const count = async () => Number((await clone.run(["sh", "-c", "sleep 0.5; wc -l < /tmp/ticks"])).stdout);
    const first = await count();
    expect(await count()).toBeGreaterThan(first);
    expect(await vm.readFile("/root/file", "utf8")).toBe("after");
  });

  test("can be taken of a restored snapshot again and again, and each is complete", async () => {
    let image = await Image.fromOci(reference);
    for (let round = 0; round < 5; round++) {
      await using vm = await image.start();
      await vm.writeFile(`/root/round-${round}`, String(round));
      image = await vm.snapshot(place(`round-${round}`));
      if (round > 0) rmSync(place(`round-${round - 1}`), { recursive: true });
    }
    await using vm = await image.start();
    expect((await vm.run(["sh", "-c", "cat /root/round-*"])).stdout).toBe("01234");
  });
});

test("snapshots taken at once, during commands and copies in both directions, disturb none of them", async () => {
  await using vm = await (await Image.fromOci(reference, { memoryMiB: 512 })).start();
  const content = randomBytes(24 * 2 ** 20);
  await vm.writeFile("/root/content", content);
  const copies = (async () => {
    for (let i = 0; i < 3; i++) {
      await vm.writeFile("/root/copy", content);
      expect((await vm.readFile("/root/content")).equals(content)).toBe(true);
    }
  })();
  const echo = await vm.exec(["cat"], { stdin: "pipe" });
  const echoed = text(echo.stdout);
  const lines = vm.run(["sh", "-c", "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done"]);
  const images: Image[] = [];
  for (let i = 0; i < 2; i++) {
    echo.stdin.write(`${i}\n`);
    images.push(...(await Promise.all([vm.snapshot(place(`${i}-a`)), vm.snapshot(place(`${i}-b`))])));
  }
  echo.stdin.end();
  expect(await echoed).toBe("0\n1\n");
  expect((await lines).stdout).toBe(Array.from({ length: 3000 }, (_, i) => `line ${i + 1}\n`).join(""));
  await copies;
  for (const image of images) {
    await using restored = await image.start();
    expect((await restored.readFile("/root/content")).equals(content)).toBe(true);
    // The copy that was under way is there as a whole or not at all.
    const { stdout } = await restored.run(["sh", "-c", "ls -A /root; cmp /root/copy /root/content 2>&1 || true"]);
    expect(stdout.replace(/cmp: .*No such file.*\n/, "").replace("copy\n", "")).toBe("content\n");
  }
});

test("snapshots fit either memory strategy", async () => {
  const image = await Image.fromOci(reference);
  vi.stubEnv("SUPERMACHINE_MEMORY", "clone");
  const same = await Image.fromSnapshot(image.snapshotPath);
  await using vm = await same.start();
  expect((await vm.run(["echo", "hello"])).stdout).toBe("hello\n");
});

test("an idle small image takes less than 8 MiB", async () => {
  const { snapshotPath } = await Image.fromOci(reference);
  const bytes = ["memory.delta", "device.state"].map((name) => statSync(join(snapshotPath, name)).size);
  expect(bytes[0]! + bytes[1]!).toBeLessThan(8 * 2 ** 20);
});

test("two processors are restored as well as one", async () => {
  const image = await Image.fromOci(reference, { vcpus: 2 });
  for (let i = 0; i < 5; i++) {
    await using vm = await image.start();
    expect((await vm.run(["nproc"])).stdout).toBe("2\n");
  }
});

test("a folder that is there is not overwritten, and no snapshot is no surprise", async () => {
  await using vm = await (await Image.fromOci(reference)).start();
  await expect(vm.snapshot(folder.path)).rejects.toThrow(UsageError);
  await expect(Image.fromSnapshot(place("missing"))).rejects.toThrow(ImageNotFoundError);
});

test("a disk that is full is said so, nothing half-written stays, and the VM goes on", async () => {
  await using vm = await (await Image.fromOci(reference)).start();
  const disk = place("disk");
  mkdirSync(disk);
  await execa("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]);
  try {
    await expect(vm.snapshot(join(disk, "snapshot"))).rejects.toBeInstanceOf(NoSpaceError);
    expect(readdirSync(disk)).toEqual([]);
  } finally {
    await execa("umount", ["--lazy", disk]);
  }
  expect((await vm.run(["echo", "42"])).stdout).toBe("42\n");
  await vm.snapshot(place("snapshot"));
  await using copy = await (await Image.fromSnapshot(place("snapshot"))).start();
  expect((await copy.run(["echo", "42"])).stdout).toBe("42\n");
});

describe("a damaged snapshot is refused with the reason", () => {
  const damage = async (change: () => void) => {
    await using vm = await (await Image.fromOci(reference)).start();
    await vm.snapshot(place("snapshot"));
    change();
    const image = await Image.fromSnapshot(place("snapshot"));
    await image.start();
  };
  const file = (name: string) => place(`snapshot/${name}`);
  const flip = (path: string, offset: number) => {
    const bytes = readFileSync(path);
    bytes[offset] = bytes[offset]! ^ 0xff;
    writeFileSync(path, bytes);
  };
  const edit = (change: (metadata: { template: object; layers: object[] }) => void) => {
    const metadata = JSON.parse(readFileSync(file("metadata.json"), "utf8"));
    change(metadata);
    writeFileSync(file("metadata.json"), JSON.stringify(metadata));
  };

  test.each([
    ["a page of the delta is corrupt", () => flip(file("memory.delta"), 100_000), /corrupt/],
    ["the delta's index is corrupt", () => flip(file("memory.delta"), 70), /corrupt/],
    ["the delta is truncated", () => truncateSync(file("memory.delta"), 50_000), /bytes/],
    ["the delta is empty", () => truncateSync(file("memory.delta"), 0), /truncated/],
    ["the device state is truncated", () => truncateSync(file("device.state"), 1_000), /truncated/],
    ["the device state is corrupt", () => flip(file("device.state"), 5_000), /corrupt/],
    ["the metadata is no JSON", () => writeFileSync(file("metadata.json"), "{"), /damaged/],
    ["the metadata is of another schema", () => edit((m) => Object.assign(m, { schema: 99 })), /damaged or of another/],
    [
      "QEMU was another",
      () => edit((m) => Object.assign(m.template, { key: "x", hypervisor: "qemu 9.9" })),
      /qemu 9\.9/,
    ],
    [
      "the accelerator was another",
      () => edit((m) => Object.assign(m.template, { key: "x", accelerator: "hvf" })),
      /hvf/,
    ],
    ["the template was made anew", () => edit((m) => Object.assign(m.template, { id: "other" })), /made anew/],
  ])("%s", async (_what, change, message) => {
    const error = await damage(change).catch((each: unknown) => each);
    expect(error).toBeInstanceOf(CacheInvalidError);
    expect((error as Error).message).toMatch(message);
  });

  test.each([
    ["the delta is missing", () => rmSync(file("memory.delta"))],
    ["a layer is missing", () => edit((m) => Object.assign(m.layers[0]!, { path: "/missing.erofs" }))],
  ])("%s", async (_what, change) => {
    await expect(damage(change)).rejects.toThrow(CacheMissError);
  });
});
