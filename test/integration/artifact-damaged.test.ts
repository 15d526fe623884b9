import { cpSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { home, Image, ImageError, ImageNotFoundError, type ProgressEvent, saveImage } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { blobPath, sha256Of, type TestDescriptor } from "../support/layout-builder.js";
import { litter, remainingWorkers } from "../support/leftovers.js";
import { freshHome } from "../support/test-home.js";

const CONTENT_DIGEST = "vnd.supermachine.content.digest";
const CONTENT_SIZE = "vnd.supermachine.content.size";

interface Manifest {
  config: TestDescriptor;
  layers: TestDescriptor[];
  [field: string]: unknown;
}

/** A saved snapshot whose documents and blobs can be changed, so that all digests are right again. */
class SavedSnapshot {
  readonly manifest: Manifest;
  // biome-ignore lint/suspicious/noExplicitAny: it is made wrong in every way.
  readonly config: any;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    const index = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));
    this.manifest = JSON.parse(this.read(index.manifests[0].digest).toString());
    this.config = JSON.parse(this.read(this.manifest.config.digest).toString());
  }

  read(digest: string): Buffer {
    return readFileSync(join(this.#folder, blobPath(digest)));
  }

  blob(kind: string): TestDescriptor {
    const found = this.manifest.layers.find(({ mediaType }) => mediaType.includes(kind));
    if (found === undefined) throw new Error(`there is no ${kind}`);
    return found;
  }

  put(descriptor: TestDescriptor, bytes: Buffer): void {
    Object.assign(descriptor, { digest: sha256Of(bytes), size: bytes.length });
    rmSync(join(this.#folder, blobPath(descriptor.digest)), { force: true });
    writeFileSync(join(this.#folder, blobPath(descriptor.digest)), bytes);
  }

  /** Replaces what a blob unpacks to, with annotations that fit. */
  replace(kind: string, content: Buffer): void {
    const blob = this.blob(kind);
    this.put(blob, gzipSync(content));
    Object.assign(blob.annotations ?? {}, {
      [CONTENT_DIGEST]: sha256Of(content),
      [CONTENT_SIZE]: String(content.length),
    });
  }

  write(): string {
    this.put(this.manifest.config, Buffer.from(JSON.stringify(this.config)));
    const manifest: TestDescriptor = { mediaType: String(this.manifest.mediaType), digest: "", size: 0 };
    this.put(manifest, Buffer.from(JSON.stringify(this.manifest)));
    const artifactType = this.manifest.artifactType;
    const index = { schemaVersion: 2, manifests: [{ ...manifest, artifactType }] };
    writeFileSync(join(this.#folder, "index.json"), JSON.stringify(index));
    return `oci-layout:${this.#folder}`;
  }
}

let folder: string;
let original: string;
let saved: SavedSnapshot;
let current: ReturnType<typeof freshHome>;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-damaged-"));
  original = join(folder, "original");
  const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`);
  await saveImage(image.name, original, { format: "oci-layout" });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
  current = freshHome(["assets"]);
  // Blobs are many megabytes, and are never written to.
  mkdirSync(join(current.path, "saved/blobs/sha256"), { recursive: true });
  for (const name of readdirSync(join(original, "blobs/sha256"))) {
    linkSync(join(original, "blobs/sha256", name), join(current.path, "saved/blobs/sha256", name));
  }
  for (const name of ["index.json", "oci-layout"]) cpSync(join(original, name), join(current.path, "saved", name));
  saved = new SavedSnapshot(join(current.path, "saved"));
});
afterEach(async () => {
  expect(await remainingWorkers()).toEqual([]);
  current[Symbol.dispose]();
});

async function failure(reference: string, type: new (...args: never[]) => Error = ImageError): Promise<string> {
  const error = await Image.fromOci(reference).catch((each: unknown) => each);
  expect(error).toBeInstanceOf(type);
  // Nothing that is half there, and nothing that could be taken for a snapshot.
  expect(litter()).toEqual([]);
  expect(readdirSync(current.path).includes("snapshots") ? readdirSync(home().snapshots) : []).toEqual([]);
  return (error as Error).message;
}

const KINDS = ["layer.v1", "template.memory", "snapshot.memory"];

describe("a blob of a snapshot", () => {
  test.each(KINDS)("that was changed on its way is refused: %s", async (kind) => {
    const { digest } = saved.blob(kind);
    const bytes = saved.read(digest);
    bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
    rmSync(join(current.path, "saved", blobPath(digest)));
    writeFileSync(join(current.path, "saved", blobPath(digest)), bytes);
    expect(await failure(saved.write())).toMatch(/digest|unpack/);
  });

  test("that is not in the registry is named", async () => {
    const { digest } = saved.blob("snapshot.memory");
    rmSync(join(current.path, "saved", blobPath(digest)));
    expect(await failure(saved.write(), ImageNotFoundError)).toContain(digest.slice(7));
  });

  test("that is a bomb is cut off where it says that it ends", async () => {
    const blob = saved.blob("layer.v1");
    saved.put(blob, gzipSync(Buffer.alloc(200_000_000)));
    expect(await failure(saved.write())).toMatch(/more than the 2031616 bytes/);
  });
});

describe("what this host cannot have is refused", () => {
  test("more memory than there is", async () => {
    saved.config.template.memoryMiB = 1 << 20;
    // It could only be restored, which another key keeps it from, and not be baked.
    saved.config.state = "captured";
    expect(await failure(saved.write())).toMatch(/cannot be restored/);
  });

  test("programs for another machine", async () => {
    saved.config.platform = "linux/s390x";
    expect(await failure(saved.write())).toMatch(/s390x/);
  });

  test("a template of another size than the guest's memory", async () => {
    const { annotations = {} } = saved.blob("template.memory");
    annotations[CONTENT_SIZE] = String(Number(annotations[CONTENT_SIZE]) + 4096);
    expect(await failure(saved.write())).toMatch(/has a template of/);
  });

  test("a device state of many megabytes", async () => {
    const { annotations = {} } = saved.blob("snapshot.device");
    annotations[CONTENT_SIZE] = String(100 << 20);
    expect(await failure(saved.write())).toMatch(/has a device state of/);
  });
});

describe("a memory delta that is well packed", () => {
  test.each([
    ["but is none", (_delta: Buffer) => Buffer.from("not a delta")],
    ["but is cut off", (delta: Buffer) => delta.subarray(0, delta.length - 4096)],
    ["but is for more memory", (delta: Buffer) => changed(delta, (copy) => copy.writeBigUInt64LE(1n << 33n, 16))],
    ["but has pages outside of it", (delta: Buffer) => changed(delta, (copy) => copy.writeUInt32LE(0xffff_fff0, 64))],
  ])("%s is refused", async (_what, damage) => {
    saved.replace("snapshot.memory", damage(unpacked("snapshot.memory")));
    expect(await failure(saved.write())).toMatch(/memory delta/);
  });
});

function unpacked(kind: string): Buffer {
  return gunzipSync(saved.read(saved.blob(kind).digest));
}

function changed(bytes: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy);
  return copy;
}

test("a device state that QEMU refuses is an error of the machine, and the next image runs", async () => {
  saved.replace("snapshot.device", Buffer.alloc(1000, "x"));
  const image = await Image.fromOci(saved.write());
  await expect(image.start()).rejects.toThrow(/could not be restored/);
});

test("a snapshot of another key is baked from its layers; the state of a VM that had run is not", async () => {
  saved.config.template.key = "0".repeat(24);
  const phases = new Set<string>();
  const onProgress = ({ phase }: ProgressEvent) => void phases.add(phase);
  const image = await Image.fromOci(saved.write(), { onProgress });
  expect(phases).toEqual(new Set(["layer", "template", "bake"]));
  await using vm = await image.start();
  expect((await vm.run(["echo", "baked"])).stdout).toBe("baked\n");
  saved.config.state = "captured";
  await expect(Image.fromOci(saved.write())).rejects.toThrow(/another kernel, agent or processor.*\n.*cannot be baked/);
  vi.stubEnv("SUPERMACHINE_FOREIGN_STATE", "sometimes");
  await expect(Image.fromOci(saved.write())).rejects.toThrow(/sometimes/);
});

test("a layer that was poisoned does not reach what is baked here", async () => {
  // Well-formed EROFS of a snapshot that promises a diff id which its layer is not of.
  saved.config.layers[0].diffId = sha256Of("another layer");
  const image = await Image.fromOci(saved.write());
  const files = readdirSync(home().layers);
  expect(files.filter((name) => name.startsWith("sha256-"))).toEqual([]);
  await using vm = await image.start();
  expect((await vm.run(["true"])).exitCode).toBe(0);
});
