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

const KINDS = ["layer.v1", "template.memory", "template.device", "snapshot.memory", "snapshot.device"];

describe("a blob of a snapshot", () => {
  test.each(KINDS)("that was changed on its way is refused: %s", async (kind) => {
    const { digest } = saved.blob(kind);
    const bytes = saved.read(digest);
    bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
    rmSync(join(current.path, "saved", blobPath(digest)));
    writeFileSync(join(current.path, "saved", blobPath(digest)), bytes);
    expect(await failure(saved.write())).toMatch(/digest|unpack/);
  });

  const cases: [string, (kind: string) => void, RegExp][] = [
    ["that is cut off", (kind) => cut(kind), /cannot be unpacked|unpacks to/],
    ["that is no gzip", (kind) => saved.put(saved.blob(kind), Buffer.alloc(3_000, "x")), /cannot be unpacked/],
    ["that unpacks to more", (kind) => annotate(kind, (size) => size - 1), /more than|has a template|size/],
    ["that unpacks to less", (kind) => annotate(kind, (size) => size + 1), /instead of|has a template/],
    ["that unpacks to something else", (kind) => lie(kind), /other content|no blob for its layer/],
    ["that says nothing of its content", (kind) => forget(kind), /does not say/],
    ["that is twice there", (kind) => duplicate(kind), /several blobs|blob/],
    ["that is missing", (kind) => remove(kind), /no blob/],
  ];

  test.each(cases)("%s is refused", async (what, damage, message) => {
    for (const kind of what.includes("twice") ? KINDS.slice(1) : KINDS) {
      saved = new SavedSnapshot(join(current.path, "saved"));
      const before = JSON.stringify(saved.manifest);
      damage(kind);
      expect(JSON.stringify(saved.manifest)).not.toBe(before);
      expect(await failure(saved.write())).toMatch(message);
      cpSync(join(original, "index.json"), join(current.path, "saved/index.json"));
    }
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

function cut(kind: string): void {
  const blob = saved.blob(kind);
  const bytes = saved.read(blob.digest);
  saved.put(blob, bytes.subarray(0, bytes.length >> 1));
}

function annotate(kind: string, change: (size: number) => number): void {
  const { annotations = {} } = saved.blob(kind);
  annotations[CONTENT_SIZE] = String(change(Number(annotations[CONTENT_SIZE])));
}

function lie(kind: string): void {
  const { annotations = {} } = saved.blob(kind);
  annotations[CONTENT_DIGEST] = sha256Of("something else");
}

function forget(kind: string): void {
  saved.blob(kind).annotations = {};
}

function duplicate(kind: string): void {
  saved.manifest.layers.push(structuredClone(saved.blob(kind)));
}

function remove(kind: string): void {
  saved.manifest.layers = saved.manifest.layers.filter((blob) => blob !== saved.blob(kind));
}

describe("a snapshot's config is refused", () => {
  const set = (path: string, value: unknown) => {
    const [name = "", ...parents] = path.split(".").toReversed();
    const parent = parents.toReversed().reduce((object, key) => object[key], saved.config);
    parent[name] = value;
  };
  const cases: [string, () => void, RegExp][] = [
    ["when its template's key climbs out", () => set("template.key", "../../../../tmp/x000000000"), /template.key/],
    ["when it wants too much memory", () => set("template.memoryMiB", 1 << 20), /another|does not have|template of/],
    ["when its memory is no number", () => set("template.memoryMiB", "256"), /memoryMiB/],
    ["when a digest climbs out", () => set("layers.0.content", "sha256:../../x"), /not a digest/],
    ["when two disks have one number", () => saved.config.layers.push({ ...saved.config.layers[0] }), /one number/],
    ["when a disk has no number", () => set("layers.0.lun", -1), /lun/],
    ["when it is for another machine", () => set("platform", "linux/s390x"), /s390x/],
    ["when its platform is none", () => set("platform", "a/b/c/d"), /platform/],
    ["when its state is unknown", () => set("state", "other"), /state/],
    ["when it is of a later version", () => set("schemaVersion", 2), /schemaVersion/],
    ["when its environment is none", () => set("config.env", { A: 1 }), /env/],
  ];

  test.each(cases)("%s", async (_what, change, message) => {
    change();
    // Another size has another key; what cannot be restored must not be baked here either.
    if (saved.config.template.memoryMiB === 1 << 20) set("state", "captured");
    expect(await failure(saved.write())).toMatch(message);
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
