import { existsSync, readdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { BakeError, ImageError } from "../../src/errors.js";
import { ensureLayers } from "../../src/image/layers.js";
import type { ImageContent, LayerDescriptor } from "../../src/oci/index.js";
import type { ProgressEvent } from "../../src/progress.js";
import { inPieces, sha256, temporaryFolder } from "../support/layer-fixture.js";
import { TarBuilder } from "../support/tar-builder.js";

let folder: ReturnType<typeof temporaryFolder>;
let opened: string[];
beforeEach(() => {
  folder = temporaryFolder();
  opened = [];
  vi.stubEnv("SUPERMACHINE_HOME", folder.path);
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

const tar = (name: string) => new TarBuilder().file(name, name).finish();
const stored = () => (existsSync(join(folder.path, "layers")) ? readdirSync(join(folder.path, "layers")) : []);

function layer(bytes: Buffer, open: () => Readable = () => inPieces(bytes)): LayerDescriptor {
  const digest = sha256(bytes) as LayerDescriptor["digest"];
  return {
    digest,
    diffId: digest,
    size: bytes.length,
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    compression: "none",
    open: async () => {
      opened.push(digest);
      return open();
    },
  } as LayerDescriptor;
}

const image = (...layers: LayerDescriptor[]) => ({ reference: "image", isRemote: false, layers }) as ImageContent;

describe("the layers of an image", () => {
  test("are given from the lowest to the highest, and converted once", async () => {
    const layers = ["one", "two", "three"].map((name) => layer(tar(name)));
    const given = await ensureLayers(image(...layers), {});
    expect(given.map(({ diffId }) => diffId)).toEqual(layers.map(({ diffId }) => diffId));
    expect(stored()).toHaveLength(3);
    await ensureLayers(image(...layers), {});
    expect(opened).toHaveLength(3);
  });

  test("that occur several times are read once and stacked as often", async () => {
    const [base, other] = [layer(tar("base")), layer(tar("other"))];
    const given = await ensureLayers(image(base, other, base), {});
    expect(given.map(({ diffId }) => diffId)).toEqual([base.diffId, other.diffId, base.diffId]);
    expect(opened).toHaveLength(2);
  });

  test("without entries are left out", async () => {
    const [empty, filled] = [layer(new TarBuilder().finish()), layer(tar("filled"))];
    expect(await ensureLayers(image(empty, filled, empty), {})).toMatchObject([{ diffId: filled.diffId }]);
    expect(await ensureLayers(image(), {})).toEqual([]);
  });

  test("may be 250, and no more", async () => {
    const base = layer(tar("base"));
    expect(await ensureLayers(image(...Array(250).fill(base)), {})).toHaveLength(250);
    const tooMany = ensureLayers(image(...Array(251).fill(base)), {});
    await expect(tooMany).rejects.toThrow(BakeError);
    await expect(tooMany).rejects.toThrow(/251 layers with content; at most 250[\s\S]*--squash/);
  });

  test("are converted anew when they are damaged", async () => {
    const base = layer(tar("base"));
    const [first] = await ensureLayers(image(base), {});
    truncateSync(first?.path ?? "", 100);
    const [again] = await ensureLayers(image(base), {});
    expect(again).toEqual(first);
    expect(opened).toHaveLength(2);
  });
});

describe("what is told of them", () => {
  const eventsOf = async (content: ImageContent) => {
    const events: ProgressEvent[] = [];
    await ensureLayers(content, { onProgress: (event) => events.push(event) });
    return events;
  };

  test("each waits, is read, and is finished with all its bytes", async () => {
    const layers = [layer(tar("one")), layer(tar("two"))];
    const events = await eventsOf(image(...layers));
    expect(events.slice(0, 2).map(({ state }) => state)).toEqual(["waiting", "waiting"]);
    for (const { digest, size } of layers) {
      const own = events.filter(({ item }) => item === digest);
      expect(own.at(-1)).toMatchObject({ phase: "layer", done: size, total: size, finished: true });
      expect(own.filter(({ finished }) => finished)).toHaveLength(1);
    }
  });

  test("one that is there already says so", async () => {
    const content = image(layer(tar("one")));
    await ensureLayers(content, {});
    expect((await eventsOf(content)).at(-1)).toMatchObject({ state: "present", finished: true });
  });
});

describe("a layer that cannot be had", () => {
  test("ends the others, and leaves nothing half-made", async () => {
    const stalled = new PassThrough();
    const bad = layer(tar("bad"));
    const layers = [layer(tar("stalled"), () => stalled), { ...bad, digest: sha256(tar("other")) } as LayerDescriptor];
    await expect(ensureLayers(image(...layers), {})).rejects.toThrow(ImageError);
    expect(stalled.destroyed).toBe(true);
    expect(stored()).toEqual([]);
  });

  test("passes on what its source says", async () => {
    const failing = { ...layer(tar("x")), open: () => Promise.reject(new ImageError("the blob is missing")) };
    await expect(ensureLayers(image(failing as LayerDescriptor), {})).rejects.toThrow("the blob is missing");
  });

  test("is waited for no longer than the signal allows", async () => {
    const stalled = layer(tar("stalled"), () => new PassThrough());
    const controller = new AbortController();
    const ensuring = ensureLayers(image(stalled), { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")), 30);
    await expect(ensuring).rejects.toThrow("enough");
    expect(stored()).toEqual([]);
  });
});
