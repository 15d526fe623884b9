import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  type BakeOptions,
  home,
  Image,
  type ProgressEvent,
  prune,
  pushImage,
  removeImage,
  saveImage,
} from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { litter, remainingWorkers } from "../support/leftovers.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import { freshHome } from "../support/test-home.js";

let publisher: ReturnType<typeof freshHome>;
let registry: TestRegistry;
/** The snapshot's name at the publisher, and in the registry. */
let snapshot: string;
let reference: string;
let current: ReturnType<typeof freshHome> | undefined;

beforeAll(async () => {
  registry = await startRegistry();
  publisher = freshHome();
  const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`, { env: { FROM: "publisher" } });
  snapshot = image.name;
  reference = `${registry.host}/team/snapshot:1`;
  await pushImage(snapshot, reference);
  vi.unstubAllEnvs();
});
afterAll(async () => {
  publisher?.[Symbol.dispose]();
  await registry?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  // Nothing but kernel, agent and QEMU: no template, no layer, no snapshot.
  current = freshHome(["assets"]);
});
afterEach(async () => {
  expect(await remainingWorkers()).toEqual([]);
  current?.[Symbol.dispose]();
});

const asPublisher = async <T>(use: () => Promise<T>): Promise<T> => {
  const mine = home().root;
  vi.stubEnv("SUPERMACHINE_HOME", publisher.path);
  try {
    return await use();
  } finally {
    vi.stubEnv("SUPERMACHINE_HOME", mine);
  }
};

/** What was done, each kind of work once. */
async function open(source: string, options: BakeOptions = {}): Promise<{ image: Image; work: Set<string> }> {
  const work = new Set<string>();
  const onProgress = ({ phase }: ProgressEvent) => void work.add(phase);
  return { image: await Image.fromOci(source, { ...options, onProgress }), work };
}

async function answer(image: Image): Promise<string> {
  await using vm = await image.start();
  return (await vm.run(["sh", "-c", "echo $FROM $((6 * 7))"])).stdout;
}

const templates = () => readdirSync(home().templates).filter((name) => !/lock|partial/.test(name));

describe("a snapshot that was pushed", () => {
  test("runs in an empty home without a boot or a bake, and again with the registry stopped", async () => {
    const { image, work } = await open(reference);
    expect(work).toEqual(new Set(["layer"]));
    expect(await answer(image)).toBe("publisher 42\n");
    expect(image.name).toMatch(/^snapshot-1-[0-9a-f]{12}$/);
    await registry.stop();
    try {
      const again = await open(reference);
      expect([...again.work]).toEqual([]);
      expect(again.image.snapshotPath).toBe(image.snapshotPath);
      expect(await answer(again.image)).toBe("publisher 42\n");
    } finally {
      await registry.start();
    }
    expect(litter()).toEqual([]);
    const { removed } = await prune({ all: true, dryRun: true });
    expect(removed.filter(({ kind }) => kind === "layer" || kind === "template")).toEqual([]);
    await removeImage(image.name);
    const unused = (await prune({ dryRun: true })).removed.map(({ kind }) => kind);
    expect(unused).toEqual(expect.arrayContaining(["layer", "template"]));
  });

  test("is sent once: another tag, and another snapshot of the same template, cost next to nothing", async () => {
    const captured = `captured-${randomUUID()}`;
    await asPublisher(async () => {
      const again = await pushImage(snapshot, `${registry.host}/team/snapshot:2`);
      expect(again.blobs).toMatchObject({ pushed: 0 });
      const image = await Image.fromSnapshot(join(home().snapshots, snapshot));
      await using vm = await image.start();
      await vm.writeFile("/tmp/left-here", "by the publisher");
      await vm.snapshot(join(home().snapshots, captured));
      const other = await pushImage(captured, `${registry.host}/team/snapshot:captured`);
      // Delta, device state and config; layer and template are there.
      expect(other.blobs).toMatchObject({ pushed: 3, present: 3 });
    });
    const { image } = await open(`${registry.host}/team/snapshot:captured`);
    await using vm = await image.start();
    expect(await vm.readFile("/tmp/left-here", "utf8")).toBe("by the publisher");
    const small = open(`${registry.host}/team/snapshot:captured`, { memoryMiB: 192 });
    await expect(small).rejects.toThrow(/another size.*\n.*cannot be baked/);
  });

  test("two processes that want it fetch it once, and it shares its template with others of it", async () => {
    const [one, two] = await Promise.all([open(reference, { name: "one" }), open(reference, { name: "two" })]);
    expect(one.image.snapshotPath).not.toBe(two.image.snapshotPath);
    expect(templates()).toHaveLength(1);
    expect(readdirSync(home().layers).filter((name) => name.endsWith(".erofs"))).toHaveLength(1);
    expect(await answer(two.image)).toBe("publisher 42\n");
  });

  test("uses the template and the layers that are here already", async () => {
    await asPublisher(async () => {
      const before = templates();
      const { image, work } = await open(reference, { name: `pulled-back-${randomUUID()}` });
      expect(templates()).toEqual(before);
      expect(readdirSync(home().layers).filter((name) => name.startsWith("image-"))).toEqual([]);
      expect(work).toEqual(new Set(["layer"]));
      expect(await answer(image)).toBe("publisher 42\n");
    });
  });

  test("does not stand in for what is baked here: a new image gets a template and a layer of its own", async () => {
    await open(reference);
    const { work } = await open(`oci-archive:${(await busyboxImage()).archive}`);
    expect(work).toEqual(new Set(["template", "layer", "bake"]));
    expect(templates()).toHaveLength(2);
  });

  test("is baked from its layers where another size or configuration is asked for, or no foreign state", async () => {
    const larger = await open(reference, { memoryMiB: 320, vcpus: undefined, hostname: undefined });
    expect(larger.work).toEqual(new Set(["layer", "template", "bake"]));
    expect(larger.image.memoryMiB).toBe(320);
    expect(await answer(larger.image)).toBe("publisher 42\n");
    vi.stubEnv("SUPERMACHINE_FOREIGN_STATE", "bake");
    const baked = await open(reference, { env: { FROM: "me" } });
    expect(baked.work).toContain("bake");
    expect(await answer(baked.image)).toBe("me 42\n");
    expect(templates().every((name) => !name.includes("-"))).toBe(true);
  });

  test("may be a file or a folder, which skopeo copies", async () => {
    using folder = temporaryFolder();
    const [archive, copy] = [join(folder.path, "saved.tar"), join(folder.path, "copy")];
    await asPublisher(() => saveImage(snapshot, archive));
    await execa("skopeo", ["--insecure-policy", "copy", "--quiet", `oci-archive:${archive}:latest`, `oci:${copy}:x`]);
    const { image, work } = await open(`oci-layout:${copy}:x`, { name: "from-file" });
    expect(work).toEqual(new Set(["layer"]));
    expect(await answer(image)).toBe("publisher 42\n");
  });

  test("names nothing of the host that it comes from", async () => {
    using folder = temporaryFolder();
    await asPublisher(() => saveImage(snapshot, `${folder.path}/layout/`));
    const blobs = join(folder.path, "layout/blobs/sha256");
    const documents = readdirSync(blobs)
      .map((name) => readFileSync(join(blobs, name)))
      .filter((bytes) => bytes[0] === 0x7b);
    expect(documents).toHaveLength(2);
    for (const text of documents.map(String)) {
      expect(text).not.toContain(publisher.path);
      expect(text).not.toContain("oci-archive");
      expect(text).not.toContain(basename(publisher.path));
    }
  });
});

test("a folder with what this version does not know is not pushed", async () => {
  const { image } = await open(reference, { name: "strange" });
  mkdirSync(join(image.snapshotPath, "disk"));
  await expect(pushImage("strange", `${registry.host}/team/strange:1`)).rejects.toThrow(
    /files that cannot go with it: disk/,
  );
  writeFileSync(join(image.snapshotPath, "metadata.json"), "{");
  await expect(pushImage("strange", `${registry.host}/team/strange:1`)).rejects.toThrow(/damaged/);
});
